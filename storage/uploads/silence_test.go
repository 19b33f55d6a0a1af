package uploads_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
	"time"

	"trellis/graph/identity"
	"trellis/storage/uploads"
)

// Revisions are told with every answer: content that is known must not take
// another number of them than content that is not.
func TestRevisionsDoNotTellWhetherContentIsKnown(t *testing.T) {
	w := settledSite(t).start(t, setup{})
	head := func() int64 {
		info, err := w.store.Info(t.Context())
		must(t, err)
		return int64(info.Head)
	}
	w.mustAdd(t, picture(1)) // the place is this graph's from here on
	steps := func(n int) int64 {
		before := head()
		if _, err := w.add(uploads.Incoming{}, picture(n)); err != nil {
			t.Fatal(err)
		}
		return head() - before
	}
	if unknown, known := steps(2), steps(2); unknown != known {
		t.Errorf("%d revisions for unknown content, %d for known", unknown, known)
	}
}

// What was stored while all workers were busy, and turns out to be damaged when its
// thumbnail is asked for, is remembered as such.
func TestDamageThatIsFoundLaterIsWrittenDown(t *testing.T) {
	w := settledSite(t).start(t, setup{Options: uploads.Options{Picturing: time.Nanosecond}})
	good := picture(1)
	// The chunk of the pixels keeps its length and gets a right checksum.
	at := bytes.Index(good, []byte("IDAT"))
	size := int(binary.BigEndian.Uint32(good[at-4:]))
	bad := bytes.Clone(good)
	for i := range size {
		bad[at+4+i] ^= 0x55
	}
	binary.BigEndian.PutUint32(bad[at+4+size:], crc32.ChecksumIEEE(bad[at:at+4+size]))
	id := w.mustAdd(t, bad)
	for range 2 {
		n, err := w.upload(id)
		must(t, err)
		var none *uploads.NoThumbnailError
		if _, err := w.Thumbnail(t.Context(), n, 256); !errors.As(err, &none) || none.Reason == "" {
			t.Fatal(err)
		}
	}
	n, err := w.upload(id)
	must(t, err)
	if n.Props.String(identity.PropThumbnail) == "" {
		t.Error("it is not written down")
	}
}
