package content

import (
	"bytes"
	"regexp"
	"strconv"
)

// pdfEnd is how many bytes at the end of a PDF hold its end marker.
const pdfEnd = 1024

var (
	pdfHeader = regexp.MustCompile(`^%PDF-(1\.[0-7]|2\.0)[ \t\r\n]`)
	pdfTail   = regexp.MustCompile(`startxref[ \t\r\n]+(\d{1,10})[ \t\r\n]+(?:%[^\r\n]*[\r\n]+)*%%EOF[\x00 \t\f\r\n]*$`)
)

// pdf checks that the file is a PDF from its first byte to its last: readers
// take what begins or ends elsewhere too, which is what hides other things in
// one. What is between is for them.
func (s *source) pdf() error {
	head, err := s.upTo(0, 16)
	if err != nil {
		return err
	}
	if !pdfHeader.Match(head) {
		return damaged("the PDF's header is damaged or of an unknown version")
	}
	tail, err := s.upTo(max(0, s.size-pdfEnd), pdfEnd)
	if err != nil {
		return err
	}
	if !bytes.Contains(tail, []byte("%%EOF")) {
		return damaged("the PDF has no end marker in its last %d bytes", pdfEnd)
	}
	m := pdfTail.FindSubmatch(tail)
	if m == nil {
		return damaged("the PDF does not end with its end marker, and before it the place of its directory")
	}
	if at, err := strconv.ParseInt(string(m[1]), 10, 64); err != nil || at >= s.size {
		return damaged("the PDF's directory is not within the file")
	}
	return nil
}
