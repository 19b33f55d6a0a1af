package content

import (
	"bytes"
	"encoding/binary"
)

// marker is text that has no business in a picture. Letters match in both
// cases; what follows must be one of then, if that is not empty.
type marker struct {
	text string
	then string
	name string
}

const (
	endsTag = " \t\n\f\r/>"
	space   = " \t\n\r"
)

// markers all begin with "<". Pixels are compressed and so as good as random:
// of n random bytes a place matches "<", k letters (either case) and one of d
// bytes with a chance of 2^-8 * 2^-7k * d/256. In 50 MB (2^25.6 places) that is
//
//	<?php and white space      2^(25.6-16-21-6)   = 2^-17
//	<html, <body and an end    2^(25.6-8-28-5.2)  = 2^-16 each
//	<?=$_ and a capital        2^(25.6-40-3.3)    = 2^-18
//	all others                 less than 2^-20 together
//
// so that one innocent file of that size in 25,000 is refused, and one photo of
// 2 MB in 600,000. "<?=" or "<svg" alone would be in nearly every large one.
// XMP is XML and has none of these.
var markers = byLetter([]marker{
	{"<script", endsTag, "a script"},
	{"<html", endsTag, "HTML"},
	{"<body", endsTag, "HTML"},
	{"<!doctype html", "", "HTML"},
	{"<iframe", endsTag, "HTML"},
	{"<object", endsTag, "HTML"},
	{"<foreignobject", endsTag, "HTML"},
	{"<img src=", "", "HTML"},
	{"<img/src=", "", "HTML"},
	{"<img onerror", "", "HTML"},
	{"<svg xmlns", "", "SVG"},
	{"<svg onload", "", "SVG"},
	{"<svg/onload", "", "SVG"},
	{"<?php", space, "PHP"},
	{"<?=$_", "GPRSCFE", "PHP"},
	{"<?=`$_", "", "PHP"},
	{"<%@page", endsTag, "a JSP"},
	{"<%@ page", endsTag, "a JSP"},
})

// archives are found wherever they are: unpackers of all of them look for
// their beginning behind other things. PHP does the same with its own.
var archives = []marker{
	{"Rar!\x1a\x07", "", "a RAR archive"},
	{"MSCF\x00\x00\x00\x00", "", "a cabinet"},
	{"7z\xbc\xaf\x27\x1c", "", "a 7z archive"},
	{"__HALT_COMPILER", "", "a PHP archive"},
}

// longest is more bytes than any marker needs.
const longest = 32

// fixed is what other formats are recognized by, in places that the kinds that
// are kept leave free.
var fixed = []struct {
	at   int64
	text string
	name string
}{
	{4, "ftyp", "an ISO media file"},
	{128, "DICM", "a DICOM file"},
	{257, "ustar", "a tar archive"},
	{0x8001, "CD001", "a disk image"},
	{0x8801, "CD001", "a disk image"},
	{0x9001, "CD001", "a disk image"},
}

func byLetter(list []marker) (table [256][]marker) {
	for _, m := range list {
		table[m.text[1]] = append(table[m.text[1]], m)
	}
	return table
}

// polyglot refuses a file of that type that is something else too.
func (s *source) polyglot(found string) error {
	for _, f := range fixed {
		b, err := s.upTo(f.at, len(f.text))
		if err != nil {
			return err
		}
		if string(b) == f.text {
			return refuse(Polyglot, "the file is %s too", f.name)
		}
	}
	if err := s.zip(); err != nil {
		return err
	}
	head, err := s.upTo(0, 1024)
	if err != nil {
		return err
	}
	if found != PDF && bytes.Contains(head, []byte("%PDF-")) {
		return refuse(Polyglot, "the file is a PDF too")
	}
	if err := runsAsScript(found, head); err != nil {
		return err
	}
	switch found {
	case SVG:
		return nil // parsed to the last byte
	case PDF:
		// The text of a document may be about anything. Browsers take what
		// begins with HTML for it.
		if err := findTag(head); err != nil {
			return err
		}
		return s.scan(false)
	}
	return s.scan(true)
}

// scan looks for archives in the whole file, and for tags if asked to.
func (s *source) scan(tags bool) error {
	for off := int64(0); ; off += int64(len(s.window)) - longest {
		if err := s.load(off); err != nil {
			return err
		}
		for _, m := range archives {
			if bytes.Contains(s.window, []byte(m.text)) {
				return refuse(Polyglot, "the file contains %s", m.name)
			}
		}
		if tags {
			if err := findTag(s.window); err != nil {
				return err
			}
		}
		if off+int64(len(s.window)) >= s.size {
			return nil
		}
	}
}

func findTag(b []byte) error {
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 || i+1 >= len(b) {
			return nil
		}
		b = b[i:]
		for _, m := range markers[lower(b[1])] {
			if m.matches(b) {
				return refuse(Polyglot, "the file contains %s", m.name)
			}
		}
		b = b[1:]
	}
}

func (m marker) matches(b []byte) bool {
	n := len(m.text)
	if len(b) < n {
		return false
	}
	for i := range n {
		if lower(b[i]) != m.text[i] {
			return false
		}
	}
	// What ends with its marker has no need of more.
	return m.then == "" || len(b) == n || bytes.IndexByte([]byte(m.then), b[n]) >= 0
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// runsAsScript refuses pictures whose first bytes are JavaScript: GIF89a and
// the first bytes of a JPEG are names there, so that a comment or text which
// begins before any byte that no script may have hides all that follows. A GIF
// that is that wide does not occur; of the lengths that the first segment of a
// JPEG may have, five are lost.
func runsAsScript(found string, head []byte) error {
	opening := []string{"/*", "//", "=\"", "='", "=`"}
	var begin int
	switch found {
	case GIF:
		begin, opening = 6, []string{"/*", "//", "\"", "'", "`"}
	case JPEG, WebP:
		begin = 4
	default:
		return nil
	}
	b := head[min(begin, len(head)):min(begin+10, len(head))]
	if i := bytes.IndexFunc(b, isControl); i >= 0 {
		b = b[:i]
	}
	for _, o := range opening {
		if bytes.Contains(b, []byte(o)) {
			return refuse(Polyglot, "the file is a script too")
		}
	}
	return nil
}

func isControl(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\v' && r != '\f' && r != '\r' || r == 0x7f
}

// zip refuses a file in which unpackers find a zip archive: by the record at its
// end, before which anything may be. archive/zip is not asked, as it makes a
// list of all members, of which a hostile file has a million.
func (s *source) zip() error {
	const (
		record  = 22
		comment = 1<<16 - 1
		// Pixels have one of these records by chance in 65,000 files.
		most = 16
	)
	// 65,557 bytes do not fit the window, so it is read in two parts that
	// overlap by more than a record.
	end, seen := s.size, 0
	for begin := max(0, end-record-comment); ; begin += windowSize / 2 {
		if err := s.load(begin); err != nil {
			return err
		}
		tail := bytes.Clone(s.window)
		for i := 0; ; i++ {
			n := bytes.Index(tail[i:], []byte("PK\x05\x06"))
			if n < 0 {
				break
			}
			i += n
			ok, err := s.isZipEnd(begin+int64(i), tail[i:])
			if err != nil {
				return err
			}
			if seen++; ok || seen > most {
				return refuse(Polyglot, "the file contains a zip archive")
			}
		}
		if begin+int64(len(tail)) >= end {
			return nil
		}
	}
}

// isZipEnd tells whether the record at off has a directory before it.
func (s *source) isZipEnd(off int64, b []byte) (bool, error) {
	if len(b) < 20 {
		return false, nil
	}
	length := int64(binary.LittleEndian.Uint32(b[12:]))
	at := int64(binary.LittleEndian.Uint32(b[16:]))
	if length == 0 {
		return true, nil
	}
	// The directory is where the record says, or just before the record if the
	// archive was put behind something; or there is a record for large ones.
	for _, try := range []struct {
		at   int64
		text string
	}{{at, "PK\x01\x02"}, {off - length, "PK\x01\x02"}, {off - 20, "PK\x06\x07"}} {
		if try.at < 0 || try.at >= s.size {
			continue
		}
		b, err := s.upTo(try.at, 4)
		if err != nil || string(b) == try.text {
			return err == nil, err
		}
	}
	return false, nil
}

// trailing is the refusal of what follows the end of a file.
func (s *source) trailing(off int64, what string) error {
	head, err := s.upTo(off, 1024)
	if err != nil {
		return err
	}
	if t := typeOf(head); t != "" {
		return refuse(Polyglot, "after the end of the %s comes a file of the type %s", what, t)
	}
	return damaged("%d bytes follow the end of the %s", s.size-off, what)
}
