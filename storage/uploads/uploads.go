package uploads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trellis/graph"
	"trellis/graph/identity"
	"trellis/storage"
	"trellis/storage/content"
	"trellis/storage/thumbnail"
)

// ThumbnailSize is how long the longer side is, in pixels, of what is made of
// every upload; smaller ones are made of that, when somebody asks for them.
const ThumbnailSize = 256

// Sizes lists every size that a picture can be had in.
var Sizes = []int{32, 64, 128, ThumbnailSize}

// propCondemned is set on a blob that is given up.
const propCondemned = "condemned"

// Options are the limits of a Service; zero values mean what is said here.
type Options struct {
	// MaxSize limits a file, in bytes; 50 MiB.
	MaxSize int64
	// OrganizationQuota and CreatorQuota limit what uploads of one organization,
	// or of one user or service account, hold together, in bytes; no limit.
	OrganizationQuota, CreatorQuota int64
	// Announce is for how long an announced file may arrive; 1 hour.
	Announce time.Duration
	// Sign is for how long an address for reading holds; 1 hour.
	Sign time.Duration
	// Grace is how old bytes without an upload must be before a sweep takes them
	// for lost, and how long after its time an announced upload is kept; 1 hour.
	Grace time.Duration
	// TakeOver lets this graph take a place over that is named as another one's:
	// once, after it was moved to another store.
	TakeOver bool
	// Picturing is how long an upload waits for its thumbnail; what is not made
	// then is made when somebody asks for it; 1 minute.
	Picturing time.Duration
	Now       func() time.Time // time.Now
	Log       *slog.Logger     // slog.Default()
}

func (o Options) orDefaults() Options {
	for _, d := range []struct {
		of    *time.Duration
		value time.Duration
	}{{&o.Announce, time.Hour}, {&o.Sign, time.Hour}, {&o.Grace, time.Hour}, {&o.Picturing, time.Minute}} {
		if *d.of == 0 {
			*d.of = d.value
		}
	}
	if o.MaxSize == 0 {
		o.MaxSize = 50 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Service takes in, finds and removes files. It is safe for concurrent use.
type Service struct {
	Options
	graph    *graph.Graph
	identity *identity.Service
	ledger   *Ledger
	blobs    storage.Blobs
	spool    *storage.Spool
	maker    *thumbnail.Maker

	making flights
	vitals vitals
	kick   chan struct{}
	swept  sync.Mutex  // held by a sweep
	owned  atomic.Bool // the objects are known to be those of this graph
	was    atomic.Bool // they were known to be once
}

// Parts are what a Service is made of.
type Parts struct {
	Graph    *graph.Graph
	Identity *identity.Service
	Ledger   *Ledger // a replica of Graph
	Blobs    storage.Blobs
	Spool    *storage.Spool
	Maker    *thumbnail.Maker
}

// New returns a Service.
func New(p Parts, o Options) *Service {
	return &Service{Options: o.orDefaults(), graph: p.Graph, identity: p.Identity, ledger: p.Ledger, blobs: p.Blobs, spool: p.Spool, maker: p.Maker, kick: make(chan struct{}, 1)}
}

// Spool returns where files are taken in.
func (s *Service) Spool() *storage.Spool { return s.spool }

// Ledger returns what is known of all uploads.
func (s *Service) Ledger() *Ledger { return s.ledger }

// Blobs returns where the bytes are.
func (s *Service) Blobs() storage.Blobs { return s.blobs }

var (
	// ErrNotArrived says that the bytes of an announced upload are not there yet.
	ErrNotArrived = errors.New("uploads: nothing has arrived yet")
	// ErrPending says that an upload is not complete, so that it has no bytes to show.
	ErrPending = errors.New("uploads: the upload is not complete")
	// ErrLost says that the bytes of an upload are not where they should be.
	ErrLost = errors.New("uploads: the bytes are lost")
)

// QuotaError says that an organization, or who sends a file, would have too much.
type QuotaError struct {
	Account           graph.Ref
	Limit, Used, Size int64
}

// Error tells the numbers.
func (e *QuotaError) Error() string {
	return fmt.Sprintf("%s may store %d bytes, has %d, and this is %d more", e.Account, e.Limit, e.Used, e.Size)
}

// NoThumbnailError says that an upload has no thumbnail, and why.
type NoThumbnailError struct{ Reason string }

// Error tells the reason.
func (e *NoThumbnailError) Error() string { return "there is no thumbnail: " + e.Reason }

// below is what the keys of a blob's objects begin with.
func below(blob graph.Ref) string { return "blobs/" + blob.ID + "/" }

// original is the key of a blob's bytes; sized, of a picture of it.
func original(blob string) storage.Key { return storage.Key("blobs/" + blob + "/original") }

func sized(blob string, size int) storage.Key {
	return storage.Key(fmt.Sprintf("blobs/%s/%d.webp", blob, size))
}

// arriving is the key under which an announced upload arrives.
func arriving(upload string) storage.Key { return storage.Key("arriving/" + upload) }

// Filename makes of what a client calls a file what it is called here: without
// directories and control characters, of at most 255 bytes, and with the ending
// of its type, so that no program takes it for something else.
func Filename(name, extension string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd || strings.ContainsRune(`<>:"|?*`, r) || r >= 0x80 && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	name = strings.Trim(name, ". ")
	if name == "" {
		name = "file"
	}
	if lower := strings.ToLower(name); extension != "" && !strings.HasSuffix(lower, extension) && (extension != ".jpg" || !strings.HasSuffix(lower, ".jpeg")) {
		name += extension
	}
	if len(name) > maxName {
		name = strings.Trim(strings.ToValidUTF8(name[:maxName-len(extension)], ""), ". ") + extension
	}
	return name
}

const maxName = 255

// inspected is a file that was looked at.
type inspected struct {
	*storage.Spooled
	content.Info
	thumb *thumbnail.Picture
	fault string // why there is no thumbnail; "" with thumb nil: not made yet
}

// inspect looks at a file, and makes its thumbnail. The error is a
// *content.Refusal if it cannot be kept.
func (s *Service) inspect(ctx context.Context, f *storage.Spooled, claimed string) (*inspected, error) {
	in, err := s.examine(ctx, f, claimed)
	var refusal *content.Refusal
	switch {
	case errors.As(err, &refusal):
		s.vitals.note(func(h *Health) { h.Refused[refusal.Kind]++ })
	case err == nil && in.fault != "" && in.Width > 0:
		s.vitals.note(func(h *Health) { h.Pictureless++ })
	}
	return in, err
}

func (s *Service) examine(ctx context.Context, f *storage.Spooled, claimed string) (*inspected, error) {
	info, err := content.Inspect(ctx, f, f.Size, claimed)
	if err != nil {
		return nil, err
	}
	in := &inspected{Spooled: f, Info: info}
	switch info.Type {
	case content.PDF:
		in.fault = "no pictures are made of PDF documents"
		return in, nil
	case content.SVG:
		in.fault = "it is a drawing that is shown as it is"
		return in, nil
	}
	limited, cancel := context.WithTimeout(ctx, s.Picturing)
	defer cancel()
	pictures, err := s.maker.Make(limited, f, info.Type, ThumbnailSize)
	switch {
	case err == nil:
		in.thumb = &pictures[0]
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		// The workers are busy: somebody will ask for it.
	case errors.Is(err, thumbnail.ErrDamaged):
		return nil, &content.Refusal{Kind: content.Damaged, Reason: reason(err)}
	case errors.Is(err, thumbnail.ErrTooManyPixels):
		return nil, &content.Refusal{Kind: content.TooLarge, Reason: reason(err)}
	case errors.Is(err, thumbnail.ErrUnsupported), errors.Is(err, thumbnail.ErrTooExpensive):
		in.fault = reason(err)
	default:
		return nil, err
	}
	return in, nil
}

// reason is what an error of thumbnail says, without the name of the package.
func reason(err error) string { return strings.TrimPrefix(err.Error(), "thumbnail: ") }
