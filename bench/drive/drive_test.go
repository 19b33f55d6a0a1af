package drive_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/bench/drive"
)

func TestEveryAnswerIsJudged(t *testing.T) {
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer k" {
			t.Error("no credential")
		}
		switch n.Add(1) % 10 {
		case 0:
			http.Error(w, "tired", http.StatusServiceUnavailable)
		case 1:
			fmt.Fprint(w, "no")
		default:
			fmt.Fprint(w, "yes")
		}
	}))
	defer srv.Close()
	c := drive.New("k")
	defer c.Close()
	src := drive.Cycle([]drive.Request{{Method: http.MethodPost, URL: srv.URL, Body: []byte("{}"), Right: func(b []byte) bool { return string(b) == "yes" }}})
	r := c.Run(t.Context(), src, 4, 0, drive.Limit{Time: time.Minute, Requests: 100})
	if r.Done != 80 || r.Wrong != 10 || r.Failed != 10 || r.Next != 100 {
		t.Errorf("%+v", r)
	}
	if r.Err == nil || !strings.Contains(r.Err.Error(), "503 tired") {
		t.Errorf("%v", r.Err)
	}
	if r.P50 <= 0 || r.P99 < r.P50 || r.PerSecond <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestAnAnswerThatSaysItFailedIsAFailure(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "timeout") }))
	defer srv.Close()
	c := drive.New("")
	defer c.Close()
	src := drive.Cycle([]drive.Request{{
		Method: http.MethodGet, URL: srv.URL, Right: func([]byte) bool { return false },
		Unanswered: func(b []byte) bool { return string(b) == "timeout" },
	}})
	r := c.Run(t.Context(), src, 1, 0, drive.Limit{Time: time.Minute, Requests: 3})
	if r.Failed != 3 || r.Wrong != 0 || r.Err == nil {
		t.Errorf("%+v", r)
	}
}

func TestOnlyLoopbackIsReached(t *testing.T) {
	_, err := drive.New("").Do(context.Background(), drive.Request{Method: http.MethodGet, URL: "http://192.0.2.1/"}, nil)
	if err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("%v", err)
	}
}

func TestMedianKeepsEveryMistake(t *testing.T) {
	m := drive.Median([]drive.Result{{PerSecond: 3, Wrong: 1}, {PerSecond: 1, Failed: 2}, {PerSecond: 2, P50: time.Second}})
	if m.PerSecond != 2 || m.P50 != time.Second || m.Wrong != 1 || m.Failed != 2 {
		t.Errorf("%+v", m)
	}
}
