package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"os"
)

// account is a user of this front; ClickHouse knows nothing of it.
type account struct {
	password [sha256.Size]byte
	readOnly bool
}

// accountsFromEnvironment reads the passwords where other users of the machine cannot.
func accountsFromEnvironment() (map[string]account, error) {
	accounts := map[string]account{}
	for _, a := range []struct {
		user, variable string
		readOnly       bool
	}{
		{"trellis", "TRELLIS_SERVICES_CLICKHOUSE_PASSWORD", false},
		{"analyst", "TRELLIS_SERVICES_CLICKHOUSE_ANALYST_PASSWORD", true},
	} {
		password := os.Getenv(a.variable)
		if password == "" {
			return nil, fmt.Errorf("%s is not set: the password of the user %s", a.variable, a.user)
		}
		accounts[a.user] = account{sha256.Sum256([]byte(password)), a.readOnly}
	}
	return accounts, nil
}

// authenticate takes the credentials from where ClickHouse does. It compares sums, which
// takes the same time for every password, and does so for an unknown user as well.
func (f *front) authenticate(r *http.Request, query url.Values) (account, error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		user, password = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	}
	if user == "" {
		user, password = query.Get("user"), query.Get("password")
	}
	a, known := f.accounts[user]
	sum := sha256.Sum256([]byte(password))
	if same := subtle.ConstantTimeCompare(sum[:], a.password[:]) == 1; !same || !known {
		return account{}, exceptionf(516, "AUTHENTICATION_FAILED", "%s: Authentication failed: password is incorrect, or there is no user with such name", user)
	}
	return a, nil
}
