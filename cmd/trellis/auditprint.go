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
	most   []int // 0: what is left of the line
	wide   bool
	widths []int
	seen   int
}

func (a *app) auditPrinter(stream string, wide bool) *auditPrinter {
	t := auditTables[stream]
	return &auditPrinter{a: a, stream: stream, heads: t.heads, most: t.most, wide: wide}
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
	p.fit(rows)
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

// lineWidth is how wide a table becomes.
const lineWidth = 100

// fit makes the cells of rows fit to be shown, and the columns wide enough.
func (p *auditPrinter) fit(rows [][]string) {
	left, flexible := lineWidth-2*(len(p.most)-1), 0
	for i, most := range p.most {
		if most == 0 {
			flexible = i
		}
		for _, r := range rows {
			r[i] = printable(r[i])
			if most > 0 && !p.wide {
				r[i] = cut(r[i], most)
			}
			if most > 0 || p.wide {
				p.widths[i] = max(p.widths[i], utf8.RuneCountInString(r[i]))
			}
		}
		if most > 0 {
			left -= p.widths[i]
		}
	}
	if p.wide {
		return
	}
	// A column that has become wider before leaves less for this one.
	p.widths[flexible] = min(p.widths[flexible], left)
	for _, r := range rows {
		r[flexible] = cutNames(r[flexible], left)
		p.widths[flexible] = max(p.widths[flexible], utf8.RuneCountInString(r[flexible]))
	}
}

// cutNames is cut for one name, or for two with a comma between, each of which
// gets what the other leaves.
func cutNames(s string, n int) string {
	a, b, two := strings.Cut(s, ", ")
	if !two || utf8.RuneCountInString(s) <= n {
		return cut(s, n)
	}
	n -= 2
	na, nb := utf8.RuneCountInString(a), utf8.RuneCountInString(b)
	nb = min(nb, max(n/2, n-na))
	return cut(a, n-nb) + ", " + cut(b, nb)
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

// cut shortens s to n characters by its middle: of an id the
// type before and the last digits after it say most.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	end := (n - 1) / 2
	return string(r[:n-1-end]) + "…" + string(r[len(r)-end:])
}
