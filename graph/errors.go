package graph

import (
	"errors"
	"fmt"
)

// ErrorKind is the closed list of what can go wrong. Engines translate their
// drivers' errors into these; api turns them into HTTP statuses.
type ErrorKind uint8

// The kinds of errors.
const (
	// Internal is anything unforeseen; its text is not for callers.
	Internal ErrorKind = iota
	// Invalid: the request itself is wrong, whatever the store holds.
	Invalid
	// NotFound: a node or edge that must be there is not.
	NotFound
	// Exists: a node, edge or unique name that must be free is taken. Ref
	// names the holder where there is one.
	Exists
	// Stale: something changed since the revision the caller relied on.
	Stale
	// InUse: something still depends on what was to be deleted.
	InUse
	// Cycle: the edge would close a circle.
	Cycle
	// Denied: the actor may not, or may not give away what it does not hold.
	Denied
	// Foreign: a revision token or a file of another store.
	Foreign
	// Gone: changes that were asked for have been trimmed.
	Gone
	// TooLarge: over a limit.
	TooLarge
	// Unavailable: the store cannot be reached now. For a write the outcome
	// is unknown unless the text says otherwise.
	Unavailable
	// Canceled: the caller's context ended.
	Canceled
	// Closed: the store was closed.
	Closed
	// Corrupt: what was read cannot be right.
	Corrupt
	// Locked: the node is archived and kept as it is.
	Locked
)

var kindNames = [...]string{"internal", "invalid", "not found", "exists", "stale", "in use", "cycle", "denied", "foreign", "gone", "too large", "unavailable", "canceled", "closed", "corrupt", "locked"}

// String returns the kind's name.
func (k ErrorKind) String() string { return kindNames[k] }

// Error is the one error type of the model and its engines.
type Error struct {
	Kind ErrorKind
	// Msg says what is wrong in a sentence fit for the caller, unless Kind is Internal.
	Msg string
	// Ref is the node concerned, if one is.
	Ref Ref
	// Permission is what the caller lacks on Ref, of Denied and of what may be hidden; "" where it is not one permission.
	Permission string
	// Step is the index of the batch's step that failed; meaningful for
	// errors of Commit only.
	Step int
	// Fields says what is wrong with which part of the input, if that is known.
	Fields []Field
	// Err is the cause, for logs; never shown to callers.
	Err error
}

// Field is one part of a caller's input that is wrong.
type Field struct {
	// Pointer is an RFC 6901 JSON pointer into the input.
	Pointer string
	Msg     string
}

// Error returns the sentence and the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of the kind.
func Errorf(k ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error of the kind with a cause.
func Wrap(k ErrorKind, err error, format string, args ...any) *Error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of the first *Error in err's chain, or Internal.
func KindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
