package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// exception is an error in ClickHouse's form, from which drivers make typed ones.
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

func exceptionf(code int, name, format string, args ...any) error {
	return &exception{code, fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name)}
}

var (
	leadingCode = regexp.MustCompile(`^Code: (\d+)\.`)
	// The engine wraps some of its own errors in themselves.
	twice = regexp.MustCompile(`(?s)^(Code: \d+\. DB::Exception: )Code: \d+\. DB::Exception: (.*)\. \([A-Z_0-9]+\)$`)
)

// asException takes errors of the engine, whose text begins with the code, and others.
func asException(err error) *exception {
	var e *exception
	if errors.As(err, &e) {
		return e
	}
	text := strings.TrimSpace(err.Error())
	if m := twice.FindStringSubmatch(text); m != nil {
		text = m[1] + m[2]
	}
	if m := leadingCode.FindStringSubmatch(text); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil {
			return &exception{code, text}
		}
	}
	return &exception{1002, "Code: 1002. DB::Exception: " + text + ". (UNKNOWN_EXCEPTION)"}
}

// status is the HTTP status for the codes of which ClickHouse has one of its own.
func (e *exception) status() int {
	switch e.code {
	case 516:
		return http.StatusUnauthorized
	case 497:
		return http.StatusForbidden
	case 6, 26, 27, 33, 36, 38, 41, 43, 44, 53, 62, 70, 72, 108, 117:
		return http.StatusBadRequest
	case 16, 46, 47, 60, 63, 73, 81, 115:
		return http.StatusNotFound
	case 307:
		return http.StatusRequestEntityTooLarge
	case 48:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

// fail answers with an error. It comes before anything else of the answer is written.
func fail(w http.ResponseWriter, err error) {
	e := asException(err)
	h := w.Header()
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	if e.code == 516 {
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	w.WriteHeader(e.status())
	_, _ = io.WriteString(w, e.text+"\n") // the client may be gone
}
