package uploads

import (
	"context"
	"errors"
	"sync"
	"time"

	"trellis/storage/content"
)

// Health is how things stand.
type Health struct {
	// Err is what came of the last look at where bytes are kept; nil if it
	// answered, or was not looked at yet.
	Err error
	// Silent is since when it does not answer; zero if it does.
	Silent time.Time
	// Stored and Refused count what this process took in, and what it refused, by kind.
	Stored  int64
	Refused map[content.Kind]int64
	// Pictureless counts files that were stored although no thumbnail could be made of them.
	Pictureless int64
	Last        Swept // what the last whole sweep found
}

// vitals is what Health is made of.
type vitals struct {
	mu sync.Mutex
	Health
}

// Health tells how things stand.
func (s *Service) Health() Health {
	s.vitals.mu.Lock()
	defer s.vitals.mu.Unlock()
	h := s.vitals.Health
	h.Refused = map[content.Kind]int64{}
	for k, n := range s.vitals.Refused {
		h.Refused[k] = n
	}
	return h
}

func (v *vitals) note(change func(*Health)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Refused == nil {
		v.Refused = map[content.Kind]int64{}
	}
	change(&v.Health)
}

// pingTime limits one look at where bytes are kept.
const pingTime = 10 * time.Second

// look finds out whether the place for bytes answers, and is that of this graph.
// It logs what has changed: callers are told no more than that there are no files.
func (s *Service) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	err := s.blobs.Ping(limited)
	if err == nil {
		err = s.own(limited)
	}
	if ctx.Err() != nil {
		return
	}
	var was error
	s.vitals.note(func(h *Health) {
		was = h.Err
		if h.Err = err; err == nil {
			h.Silent = time.Time{}
		} else if h.Silent.IsZero() {
			h.Silent = s.Now()
		}
	})
	switch {
	case errors.Is(err, ErrForeign) && was == nil:
		s.Log.ErrorContext(ctx, "files can neither be stored nor read: those in this place belong to another graph; if this is that graph, moved to another store, take the place over once with TRELLIS_STORAGE_TAKE_OVER=true")
	case err != nil && (was == nil || was.Error() != err.Error()):
		s.Log.ErrorContext(ctx, "files can neither be stored nor read", "error", err)
	case err == nil && was != nil:
		s.Log.InfoContext(ctx, "files can be stored and read again")
	}
}
