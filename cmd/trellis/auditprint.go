package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// auditPrinter writes records as they come: as a table whose columns grow with
// what is in them, up to a width, or as JSON lines.
type auditPrinter struct {
	a      *app
	stream string
	heads  []string
	most   []int // 0: any width
	widths []int
	seen   int
}

func (a *app) auditPrinter(stream string, wide bool) *auditPrinter {
	t := auditTables[stream]
	p := &auditPrinter{a: a, stream: stream, heads: t.heads, most: t.most}
	if wide {
		p.most = make([]int, len(t.heads))
	}
	return p
}

// print writes records in their order.
func (p *auditPrinter) print(page []auditRecord) error {
	if len(page) == 0 {
		return nil
	}
	if p.a.json {
		for i := range page {
			if _, err := fmt.Fprintf(p.a.stdout, "%s\n", page[i].raw); err != nil {
				return err
			}
		}
		p.seen += len(page)
		return nil
	}
	var rows [][]string
	if p.seen == 0 {
		p.widths = make([]int, len(p.heads))
		rows = append(rows, slices.Clone(p.heads))
	}
	p.seen += len(page)
	for i := range page {
		r := &page[i]
		rows = append(rows, append([]string{r.Time.UTC().Format(time.RFC3339)}, auditTables[p.stream].cells(r)...))
	}
	for _, r := range rows {
		for i := range r {
			r[i] = cut(printable(r[i]), p.most[i])
			p.widths[i] = max(p.widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		b.Reset()
		for i, cell := range r {
			b.WriteString(cell)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", p.widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		if _, err := fmt.Fprintln(p.a.stdout, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// end says so if there was nothing.
func (p *auditPrinter) end() error {
	if p.seen > 0 || p.a.json {
		return nil
	}
	_, err := fmt.Fprintln(p.a.stdout, "none")
	return err
}

// printable replaces what would move the cursor of a terminal: names and user
// agents were written by others.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, s)
}

// cut shortens s to n characters, if n is not 0, by its middle: of an id the
// type before and the last digits after it say most.
func cut(s string, n int) string {
	if n == 0 || utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	end := (n - 1) / 2
	return string(r[:n-1-end]) + "…" + string(r[len(r)-end:])
}
