package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// maxConfig limits the file of settings.
const maxConfig = 1 << 20

// readFile reads NAME=VALUE lines. No name gives nothing.
func readFile(name string) (map[string]string, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the file of settings cannot be read: %w", err)
	}
	return Parse(name, b)
}

// Parse reads the text of a file of settings. All mistakes come back at once,
// named by file and line, together with what could be read.
func Parse(name string, text []byte) (map[string]string, error) {
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%s: %d bytes; the limit is %d", name, len(text), maxConfig)
	}
	out := map[string]string{}
	var problems []error
	fail := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s:%d: %s", name, line, fmt.Sprintf(format, args...)))
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "export "))
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		switch _, twice := out[key]; {
		case !ok:
			fail(i+1, "want NAME=VALUE")
		case key == ConfigFile:
			fail(i+1, "%s cannot be set in a file", key)
		case !known(key):
			fail(i+1, "%.80q is not a setting; %s", key, nearest(key))
		case twice:
			fail(i+1, "%s is set a second time", key)
		default:
			out[key] = unquote(strings.TrimSpace(value))
		}
	}
	return out, errors.Join(problems...)
}

// unquote takes one pair of quotation marks off.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
