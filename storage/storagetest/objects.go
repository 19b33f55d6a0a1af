package storagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"trellis/storage"
)

var objectCases = []testCase{
	{name: "WhatIsStoredComesBack", run: comesBack},
	{name: "PutBeginsWhereTheReaderStands", run: beginsWhereItStands},
	{name: "PutReplaces", run: replaces},
	{name: "CreateReplacesNothing", run: createReplacesNothing},
	{name: "WhatIsNotThere", run: notThere},
	{name: "KeysOfEveryShape", run: keysOfEveryShape},
	{name: "InvalidKeysAreRefused", run: invalidKeys},
	{name: "InvalidObjectsAreRefused", run: invalidObjects},
	{name: "WrongBytesStoreNothing", run: wrongBytes},
	{name: "AReaderThatFailsStoresNothing", run: failingReader},
	{name: "CancelMidwayStoresNothing", run: cancelMidway},
	{name: "Ranges", run: ranges},
	{name: "DeleteTakesManyKeys", run: deletesMany},
	{name: "FiftyMegabytesAreNotInMemory", alone: true, run: notInMemory},
}

func comesBack(r *room) {
	types := []string{"image/png", "text/plain; charset=utf-8", "image/svg+xml", "application/pdf", strings.Repeat("x", 99) + "/" + strings.Repeat("y", 100)}
	for i, n := range []int{0, 1, 255, 4096, 64<<10 + 1, 1 << 20} {
		key := storage.Key(fmt.Sprintf("some/%d", n))
		b := Bytes(n, uint64(i))
		before := time.Now()
		if err := r.blobs.Put(r.ctx, key, bytes.NewReader(b), Object(b, types[i%len(types)])); err != nil {
			r.Fatal(err)
		}
		r.holds(key, b)
		info, err := r.blobs.Stat(r.ctx, key)
		if err != nil || info.Key != key || info.Size != int64(n) || info.ContentType != types[i%len(types)] || info.SHA256 != sha256.Sum256(b) {
			r.Errorf("%+v, %v, want size %d and %s", info, err, n, types[i%len(types)])
		}
		if age := before.Sub(info.Modified); age > time.Minute || age < -time.Minute {
			r.Errorf("stored at %s, now it is %s", info.Modified, before)
		}
		o, err := r.blobs.Open(r.ctx, key, storage.Range{})
		if err != nil {
			r.Fatal(err)
		}
		if o.Key != key || o.SHA256 != info.SHA256 || o.ContentType != info.ContentType || !o.Modified.Truncate(time.Second).Equal(info.Modified.Truncate(time.Second)) {
			r.Errorf("open says %+v, stat %+v", o.Info, info)
		}
		o.Body.Close()
	}
	if err := r.blobs.Ping(r.ctx); err != nil {
		r.Errorf("ping: %v", err)
	}
}

func beginsWhereItStands(r *room) {
	b := Bytes(5000, 1)
	reader := bytes.NewReader(b)
	if _, err := reader.Seek(1000, io.SeekStart); err != nil {
		r.Fatal(err)
	}
	if err := r.blobs.Put(r.ctx, "k", reader, Object(b[1000:], octets)); err != nil {
		r.Fatal(err)
	}
	r.holds("k", b[1000:])
}

func replaces(r *room) {
	r.put("k", Bytes(5000, 1))
	b := Bytes(300, 2)
	if err := r.blobs.Put(r.ctx, "k", bytes.NewReader(b), Object(b, "image/gif")); err != nil {
		r.Fatal(err)
	}
	r.holds("k", b)
	if info, err := r.blobs.Stat(r.ctx, "k"); err != nil || info.ContentType != "image/gif" || info.Size != 300 {
		r.Errorf("%+v, %v", info, err)
	}
}

func createReplacesNothing(r *room) {
	b, other := Bytes(5000, 1), Bytes(300, 2)
	reader := bytes.NewReader(b)
	if _, err := reader.Seek(1000, io.SeekStart); err != nil {
		r.Fatal(err)
	}
	if err := r.blobs.Create(r.ctx, "dir/k", reader, Object(b[1000:], "image/gif")); err != nil {
		r.Fatal(err)
	}
	r.is("create again", r.blobs.Create(r.ctx, "dir/k", bytes.NewReader(other), Object(other, octets)), storage.ErrExists)
	r.is("create the same", r.blobs.Create(r.ctx, "dir/k", bytes.NewReader(b[1000:]), Object(b[1000:], "image/gif")), storage.ErrExists)
	r.holds("dir/k", b[1000:])
	if info, err := r.blobs.Stat(r.ctx, "dir/k"); err != nil || info.ContentType != "image/gif" {
		r.Errorf("%+v, %v", info, err)
	}
	r.put("put", b)
	r.is("create what was put", r.blobs.Create(r.ctx, "put", bytes.NewReader(other), Object(other, octets)), storage.ErrExists)
	r.holds("put", b)
	wrong := Object(b, octets)
	wrong.SHA256[0]++
	r.is("create of other bytes", r.blobs.Create(r.ctx, "new", bytes.NewReader(b), wrong), storage.ErrMismatch)
	r.holds("new", nil)
	r.put("put", other)
	r.holds("put", other)
	if err := r.blobs.Delete(r.ctx, "dir/k"); err != nil {
		r.Fatal(err)
	}
	if err := r.blobs.Create(r.ctx, "dir/k", bytes.NewReader(other), Object(other, octets)); err != nil {
		r.Errorf("create what was deleted: %v", err)
	}
	r.holds("dir/k", other)
	if found, err := r.blobs.List(r.ctx, "", "", 10); err != nil || len(found) != 2 {
		r.Errorf("%v, %v", found, err)
	}
}

func notThere(r *room) {
	r.put("there/it/is", Bytes(10, 1))
	for _, key := range []storage.Key{"k", "there", "there/it", "there/it/is/more", "there/it/isnt"} {
		_, err := r.blobs.Open(r.ctx, key, storage.Range{})
		r.is("open", err, storage.ErrNotFound)
		_, err = r.blobs.Open(r.ctx, key, storage.Range{Offset: 5})
		r.is("open a part", err, storage.ErrNotFound)
		_, err = r.blobs.Stat(r.ctx, key)
		r.is("stat", err, storage.ErrNotFound)
		if err := r.blobs.Delete(r.ctx, key); err != nil {
			r.Errorf("delete: %v", err)
		}
	}
	if err := r.blobs.Delete(r.ctx); err != nil {
		r.Errorf("delete nothing: %v", err)
	}
	r.holds("there/it/is", Bytes(10, 1))
}

func keysOfEveryShape(r *room) {
	keys := []storage.Key{
		"0", "a", "a.b", "a-b", "-", "-.-", "a..b", "a.", "x/y/z", "con", "a.blob/b", "tmp/x", "--/-/-",
		storage.Key(strings.Repeat("k", 200)), storage.Key(strings.Repeat("d/", 99) + "ee"),
	}
	if r.has(Both) {
		keys = append(keys, "a/b", "a/b/c", "x/y")
	}
	for i, key := range keys {
		r.put(key, Bytes(100+i, uint64(i)))
	}
	for i, key := range keys {
		r.holds(key, Bytes(100+i, uint64(i)))
	}
	for i, key := range keys {
		if i%2 == 0 {
			if err := r.blobs.Delete(r.ctx, key); err != nil {
				r.Error(err)
			}
		}
	}
	for i, key := range keys {
		if i%2 == 0 {
			r.holds(key, nil)
		} else {
			r.holds(key, Bytes(100+i, uint64(i)))
		}
	}
}

// InvalidKeys are keys that nothing may be stored under.
var InvalidKeys = []storage.Key{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/.b", ".a", "A", "a_b", "a b", "a\\b",
	"a\x00b", "a\nb", "ä", "a%2fb", "a?b", "a#b", "a:b", "~", "a/b/../../../etc/passwd", storage.Key(strings.Repeat("a", 201)),
}

func invalidKeys(r *room) {
	b := Bytes(10, 1)
	for _, key := range InvalidKeys {
		what := func(call string) string { return fmt.Sprintf("%s %q", call, key) }
		r.is(what("put"), r.blobs.Put(r.ctx, key, bytes.NewReader(b), Object(b, octets)), storage.ErrRefused)
		r.is(what("create"), r.blobs.Create(r.ctx, key, bytes.NewReader(b), Object(b, octets)), storage.ErrRefused)
		_, err := r.blobs.Open(r.ctx, key, storage.Range{})
		r.is(what("open"), err, storage.ErrRefused)
		_, err = r.blobs.Stat(r.ctx, key)
		r.is(what("stat"), err, storage.ErrRefused)
		r.is(what("delete"), r.blobs.Delete(r.ctx, "fine", key), storage.ErrRefused)
		_, err = r.blobs.SignGet(r.ctx, key, storage.Get{Expires: time.Minute})
		r.is(what("sign get"), err, storage.ErrRefused)
		_, err = r.blobs.SignPut(r.ctx, key, Object(b, octets), time.Minute)
		r.is(what("sign put"), err, storage.ErrRefused)
	}
	if found, err := r.blobs.List(r.ctx, "", "", 10); err != nil || len(found) != 0 {
		r.Errorf("%v, %v", found, err)
	}
}

func invalidObjects(r *room) {
	b := Bytes(10, 1)
	for _, o := range []storage.Object{
		{Size: -1, SHA256: sha256.Sum256(b), ContentType: octets},
		Object(b, ""), Object(b, "a\r\nX-Evil: 1"), Object(b, "ü"), Object(b, "a\x7f"), Object(b, strings.Repeat("x", 201)),
	} {
		r.is(fmt.Sprintf("put %+v", o), r.blobs.Put(r.ctx, "k", bytes.NewReader(b), o), storage.ErrRefused)
		_, err := r.blobs.SignPut(r.ctx, "k", o, time.Minute)
		r.is(fmt.Sprintf("sign put %+v", o), err, storage.ErrRefused)
	}
	for _, d := range []time.Duration{0, -time.Second, storage.MaxSigned + 1} {
		_, err := r.blobs.SignPut(r.ctx, "k", Object(b, octets), d)
		r.is("sign put for "+d.String(), err, storage.ErrRefused)
		_, err = r.blobs.SignGet(r.ctx, "k", storage.Get{Expires: d})
		r.is("sign get for "+d.String(), err, storage.ErrRefused)
	}
	for _, g := range []storage.Get{{ContentType: "a\nb"}, {Disposition: "a\r\nSet-Cookie: b"}, {Disposition: "ü"}, {Disposition: strings.Repeat("x", 1001)}} {
		g.Expires = time.Minute
		_, err := r.blobs.SignGet(r.ctx, "k", g)
		r.is(fmt.Sprintf("sign get %+v", g), err, storage.ErrRefused)
	}
	r.holds("k", nil)
}

func wrongBytes(r *room) {
	old := Bytes(100, 9)
	r.put("old", old)
	for _, n := range []int{0, 1, 1000, 300_000} {
		b := Bytes(n, 3)
		right := Object(b, octets)
		wrong := map[string]storage.Object{"another hash": right, "one byte too many": right}
		o := right
		o.SHA256[31]++
		wrong["another hash"] = o
		o = right
		o.Size++
		wrong["one byte missing"] = o
		if n > 0 {
			o = Object(b[:n-1], octets)
			wrong["one byte too many"] = o
			o = Object(nil, octets)
			wrong["all too many"] = o
		} else {
			delete(wrong, "one byte too many")
		}
		for name, o := range wrong {
			for _, key := range []storage.Key{"new", "old"} {
				r.is(fmt.Sprintf("%d bytes, %s", n, name), r.blobs.Put(r.ctx, key, bytes.NewReader(b), o), storage.ErrMismatch)
			}
		}
	}
	r.holds("new", nil)
	r.holds("old", old)
}

// stumbling is a reader that does something after so many bytes.
type stumbling struct {
	io.ReadSeeker
	after int
	then  func() error
}

func (s *stumbling) Read(p []byte) (int, error) {
	if s.after <= 0 {
		if err := s.then(); err != nil {
			return 0, err
		}
	}
	n, err := s.ReadSeeker.Read(p[:min(len(p), max(s.after, 1))])
	s.after -= n
	return n, err
}

func failingReader(r *room) {
	errDisk := errors.New("the disk is on fire")
	b, old := Bytes(3<<20, 4), Bytes(100, 9)
	r.put("old", old)
	for _, key := range []storage.Key{"new", "old"} {
		for _, after := range []int{0, 1, 1 << 20, 3<<20 - 1} {
			reader := &stumbling{bytes.NewReader(b), after, func() error { return errDisk }}
			r.is(fmt.Sprintf("put, failing after %d", after), r.blobs.Put(r.ctx, key, reader, Object(b, octets)), errDisk)
		}
	}
	r.holds("new", nil)
	r.holds("old", old)
}

func cancelMidway(r *room) {
	b, old := Bytes(3<<20, 4), Bytes(100, 9)
	r.put("old", old)
	for _, key := range []storage.Key{"new", "old"} {
		for _, after := range []int{0, 1 << 20, 3<<20 - 1} {
			ctx, cancel := context.WithCancel(r.ctx)
			reader := &stumbling{bytes.NewReader(b), after, func() error { cancel(); return nil }}
			r.is(fmt.Sprintf("put, cancelled after %d", after), r.blobs.Put(ctx, key, reader, Object(b, octets)), context.Canceled)
		}
	}
	r.holds("new", nil)
	r.holds("old", old)

	r.put("big", b)
	ctx, cancel := context.WithCancel(r.ctx)
	o, err := r.blobs.Open(ctx, "big", storage.Range{})
	if err != nil {
		r.Fatal(err)
	}
	defer o.Body.Close()
	if _, err := io.ReadFull(o.Body, make([]byte, 1000)); err != nil {
		r.Fatal(err)
	}
	cancel()
	if n, err := io.Copy(io.Discard, o.Body); err == nil && n > 2<<20 {
		r.Errorf("a cancelled reader went on for %d bytes", n)
	} else if err != nil {
		r.is("read, cancelled", err, context.Canceled)
	}
}

func ranges(r *room) {
	b := Bytes(1000, 5)
	r.put("k", b)
	r.put("empty", nil)
	for _, c := range []struct {
		part     storage.Range
		from, to int // -1: ErrRange
	}{
		{storage.Range{}, 0, 1000},
		{storage.Range{Length: 1}, 0, 1},
		{storage.Range{Length: 1000}, 0, 1000},
		{storage.Range{Length: 5000}, 0, 1000},
		{storage.Range{Offset: 1}, 1, 1000},
		{storage.Range{Offset: 999}, 999, 1000},
		{storage.Range{Offset: 10, Length: 20}, 10, 30},
		{storage.Range{Offset: 990, Length: 20}, 990, 1000},
		{storage.Range{Offset: 990, Length: 1<<63 - 1}, 990, 1000},
		{storage.Range{Offset: -1}, 999, 1000},
		{storage.Range{Offset: -1000}, 0, 1000},
		{storage.Range{Offset: -5000}, 0, 1000},
		{storage.Range{Offset: -1 << 63}, 0, 1000},
		{storage.Range{Offset: -10, Length: 3}, 990, 993},
		{storage.Range{Offset: -10, Length: 30}, 990, 1000},
		{storage.Range{Offset: -5000, Length: 3}, 0, 3},
		{storage.Range{Offset: 1000}, -1, 0},
		{storage.Range{Offset: 1000, Length: 1}, -1, 0},
		{storage.Range{Offset: 1<<63 - 1}, -1, 0},
		{storage.Range{Offset: 5, Length: -1}, -1, 0},
	} {
		what := fmt.Sprintf("%+v", c.part)
		o, err := r.blobs.Open(r.ctx, "k", c.part)
		if c.from < 0 {
			r.is(what, err, storage.ErrRange)
			continue
		}
		if err != nil {
			r.Errorf("%s: %v", what, err)
			continue
		}
		got, err := io.ReadAll(o.Body)
		o.Body.Close()
		if err != nil || !bytes.Equal(got, b[c.from:c.to]) || o.Offset != int64(c.from) || o.Length != int64(c.to-c.from) || o.Size != 1000 {
			r.Errorf("%s: %d bytes from %d of %d (%d came), %v", what, o.Length, o.Offset, o.Size, len(got), err)
		}
	}
	for _, part := range []storage.Range{{Length: 1}, {Offset: 1}, {Offset: -1}} {
		_, err := r.blobs.Open(r.ctx, "empty", part)
		r.is(fmt.Sprintf("%+v of nothing", part), err, storage.ErrRange)
	}
	r.holds("empty", []byte{})
}

func deletesMany(r *room) {
	var keys []storage.Key
	for i := range 2100 {
		key := storage.Key(fmt.Sprintf("d/%d/%04d", i%7, i))
		keys = append(keys, key)
		if i%300 == 0 {
			r.put(key, Bytes(10, uint64(i)))
		}
	}
	r.put("d/stays", Bytes(10, 1))
	if err := r.blobs.Delete(r.ctx, keys...); err != nil {
		r.Fatal(err)
	}
	found, err := r.blobs.List(r.ctx, "", "", 100)
	if err != nil || len(found) != 1 || found[0].Key != "d/stays" {
		r.Errorf("left: %v, %v", found, err)
	}
}

// pattern reads as so many bytes without having them.
type pattern struct {
	block     []byte
	size, pos int64
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.pos >= p.size {
		return 0, io.EOF
	}
	n := copy(b[:min(int64(len(b)), p.size-p.pos)], p.block[p.pos%int64(len(p.block)):])
	p.pos += int64(n)
	return n, nil
}

// Seek moves the place.
func (p *pattern) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.pos
	case io.SeekEnd:
		offset += p.size
	}
	p.pos = offset
	return offset, nil
}

// allocated is how many bytes were allocated since the start.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

func notInMemory(r *room) {
	big := &pattern{block: Bytes(1<<20, 6), size: 50 << 20}
	hash := sha256.New()
	if _, err := io.Copy(hash, big); err != nil {
		r.Fatal(err)
	}
	object := storage.Object{Size: big.size, SHA256: [32]byte(hash.Sum(nil)), ContentType: octets}
	big.pos = 0
	before := allocated()
	if err := r.blobs.Put(r.ctx, "big", big, object); err != nil {
		r.Fatal(err)
	}
	o, err := r.blobs.Open(r.ctx, "big", storage.Range{})
	if err != nil {
		r.Fatal(err)
	}
	defer o.Body.Close()
	hash.Reset()
	if n, err := io.Copy(hash, o.Body); err != nil || n != object.Size || [32]byte(hash.Sum(nil)) != object.SHA256 {
		r.Errorf("%d bytes came back, %v, other ones: %t", n, err, [32]byte(hash.Sum(nil)) != object.SHA256)
	}
	if used := allocated() - before; used > 8<<20 {
		r.Errorf("storing and reading 50 MB allocated %d MB", used>>20)
	}
}
