package content

import "regexp"

// pdfEnd is how many bytes at the end of a PDF hold its end marker.
const pdfEnd = 1024

var (
	pdfHeader = regexp.MustCompile(`^%PDF-(1\.[0-7]|2\.0)[ \t\r\n]`)
	pdfTail   = regexp.MustCompile(`%%EOF[\x00 \t\f\r\n]*$`)
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
	if !pdfTail.Match(tail) {
		return damaged("the PDF does not end with its end marker")
	}
	return nil
}
