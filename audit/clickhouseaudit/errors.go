package clickhouseaudit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"trellis/audit"
)

// What a ClickHouse exception says that needs words of our own, by its code.
var advice = map[int32]string{
	60:  "a table is not there; it is made anew at the next try",
	81:  "the database does not exist; create it, or name another one in the address",
	115: "the server does not know a setting; it is older than this version of Trellis supports",
	192: "the user is not known to the server",
	193: "the user name or the password is wrong",
	194: "the user name or the password is wrong",
	497: "the user may not do this; grant it the rights on the database",
	516: "the user name or the password is wrong",
}

// refusals are the codes of exceptions about the statement or the data: the
// same again would meet the same answer. What is in no list is taken for
// something that passes, since nothing must be set aside for a server's trouble.
var refusals = []int32{
	6,   // CANNOT_PARSE_TEXT
	8,   // THERE_IS_NO_COLUMN
	9,   // SIZES_OF_COLUMNS_DOESNT_MATCH
	10,  // NOT_FOUND_COLUMN_IN_BLOCK
	16,  // NO_SUCH_COLUMN_IN_TABLE
	20,  // NUMBER_OF_COLUMNS_DOESNT_MATCH
	26,  // CANNOT_PARSE_QUOTED_STRING
	27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	36,  // BAD_ARGUMENTS
	38,  // CANNOT_PARSE_DATE
	41,  // CANNOT_PARSE_DATETIME
	42,  // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
	43,  // ILLEGAL_TYPE_OF_ARGUMENT
	44,  // ILLEGAL_COLUMN
	46,  // UNKNOWN_FUNCTION
	47,  // UNKNOWN_IDENTIFIER
	50,  // UNKNOWN_TYPE
	53,  // TYPE_MISMATCH
	62,  // SYNTAX_ERROR
	69,  // ARGUMENT_OUT_OF_BOUND
	70,  // CANNOT_CONVERT_TYPE
	72,  // CANNOT_PARSE_NUMBER
	117, // INCORRECT_DATA
	131, // TOO_LARGE_STRING_SIZE
	190, // SIZES_OF_ARRAYS_DONT_MATCH
	321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	386, // NO_COMMON_TYPE
	407, // DECIMAL_OVERFLOW
	456, // UNKNOWN_QUERY_PARAMETER
	457, // BAD_QUERY_PARAMETER
	469, // VIOLATED_CONSTRAINT
}

// tooManyRows is the code of the exception for a statement that would read more rows than
// its settings allow (TOO_MANY_ROWS).
const tooManyRows = 158

// fault says what an error of the driver means to the caller, whose context is ctx.
func (s *Sink) fault(ctx context.Context, what string, err error) error {
	var ex *clickhouse.Exception
	if err == nil || ctx.Err() != nil || !errors.As(err, &ex) || !slices.Contains(refusals, ex.Code) {
		return s.trouble(ctx, what, err)
	}
	return fmt.Errorf("%w: %s: code %d: %s", audit.ErrRefused, what, ex.Code, s.hide(ex.Message))
}

// trouble is like fault for what must be tried again in any case.
func (s *Sink) trouble(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("clickhouseaudit: %s: %w", what, ctx.Err())
	}
	text := err.Error()
	var ex *clickhouse.Exception
	switch {
	case errors.As(err, &ex):
		text = fmt.Sprintf("code %d: %s", ex.Code, ex.Message)
		if a, ok := advice[ex.Code]; ok {
			text = fmt.Sprintf("%s (code %d)", a, ex.Code)
		}
		if ex.Code == 60 {
			s.forget()
		}
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer in time"
	}
	return fmt.Errorf("%w: %s: %s", audit.ErrUnavailable, what, s.hide(text))
}

// hide takes the password out of a text, should a driver ever put it there.
func (s *Sink) hide(text string) string {
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// forget lets the next call prepare the tables again.
func (s *Sink) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepared = false
}
