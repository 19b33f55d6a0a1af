package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"trellis/api"
)

// A file may take longer than the server's own limits for a request, and is answered.
func TestASlowFileIsAnswered(t *testing.T) {
	w := newWorld(t, api.Options{})
	const limit = 300 * time.Millisecond
	s := httptest.NewUnstartedServer(w.handler)
	s.Config.ReadTimeout, s.Config.WriteTimeout = limit, limit
	s.Start()
	defer s.Close()
	file := []byte(picture(t, 9, 9, 1))
	r, feed := io.Pipe()
	go func() {
		for i := range file {
			if _, err := feed.Write(file[i : i+1]); err != nil {
				return
			}
			time.Sleep(3 * limit / time.Duration(len(file)))
		}
		feed.Close()
	}()
	req, err := http.NewRequest(http.MethodPost, s.URL+v1+"/uploads", r)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+bootstrapKey)
	req.Header.Set("Content-Type", "image/png")
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if took := time.Since(began); resp.StatusCode != http.StatusCreated || took < 2*limit {
		t.Errorf("%d after %s", resp.StatusCode, took)
	}
	http.DefaultClient.CloseIdleConnections()
}
