// Package content tells what kind of file somebody sent, by its bytes alone,
// and whether it may be kept. It owns the list of kinds that are (JPEG, PNG,
// GIF, WebP, SVG, PDF), the walk through each one's structure from the first
// byte to the last, and the search for what makes a file something else too.
//
// It promises to hold no more than a window of a file in memory (an SVG, which
// is parsed, is limited to MaxSVG), to end in time that grows with the size of
// the file alone, never to panic, and to say why in words the sender can read.
//
// It decodes no pictures: that one is accepted means that it is complete, is
// nothing but what it says and is not too large to be decoded, not that its
// compressed data is sound. It does not look for what a reader of PDF may run.
//
// It never changes a file: the bytes that are stored are the bytes that were
// sent. An SVG with anything active in it is therefore refused, not cleaned.
// Cleaning means writing anew what a parser understood, and what the next
// parser makes of that is anybody's guess; the round trip through encoding/xml
// in particular has been shown not to keep the meaning.
package content
