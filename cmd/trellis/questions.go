package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// question is one check as the command line asks it.
type question struct {
	Subject    string `json:"subject,omitempty"`
	Permission string `json:"permission"`
	Resource   string `json:"resource"`
	// Allowed is the answer that is expected, if one is.
	Allowed *bool `json:"allowed,omitempty"`
}

// shorthand completes what a file leaves out.
type shorthand struct {
	subjectType, resourceType, permissionPrefix string
}

func (s shorthand) complete(q *question) {
	q.Subject = prefixed(s.subjectType, ":", q.Subject)
	q.Resource = prefixed(s.resourceType, ":", q.Resource)
	q.Permission = prefixed(strings.TrimSuffix(s.permissionPrefix, ":"), ":", q.Permission)
}

func prefixed(prefix, sep, s string) string {
	if prefix == "" || s == "" || strings.HasPrefix(s, prefix+sep) {
		return s
	}
	return prefix + sep + s
}

// maxQuestion limits one line of a file of questions.
const maxQuestion = 64 << 10

// readQuestions calls each with every question of a file of JSON lines. A
// mistake is named by its line.
func readQuestions(r io.Reader, s shorthand, each func(line int, q question) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4096), maxQuestion)
	n := 0
	for lines.Scan() {
		n++
		b := bytes.TrimSpace(lines.Bytes())
		if len(b) == 0 {
			continue
		}
		var q question
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if d.More() {
			return fmt.Errorf("line %d: want one object a line", n)
		}
		if q.Permission == "" || q.Resource == "" {
			return fmt.Errorf("line %d: want permission and resource, and subject unless it is about yourself", n)
		}
		s.complete(&q)
		if err := each(n, q); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}
