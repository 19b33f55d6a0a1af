package audit

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// VerifyOptions choose what is verified.
type VerifyOptions struct {
	// Streams to look at; all if empty.
	Streams []Stream
	// Writer limits it to the chains of one writer.
	Writer string
	// Known are links that are remembered somewhere else than in the sink: a
	// chain that ends before them, or has something else in their place, was cut or
	// rewritten.
	Known []KnownLink
	// Most limits the faults that are reported; 1,000 if 0.
	Most int
}

// KnownLink is a link of a stream that must be there.
type KnownLink struct {
	Stream Stream
	Link
}

// FaultKind says what is wrong.
type FaultKind string

// What can be wrong.
const (
	// Missing: records From to To are not there.
	Missing FaultKind = "missing"
	// Changed: the record at From, or its hash, is not what was written.
	Changed FaultKind = "changed"
	// Moved: the record at From was written as To.
	Moved FaultKind = "moved"
	// Doubled: there is more than one record at From.
	Doubled FaultKind = "doubled"
	// Misfiled: questions are answered with another record in the place of
	// the one at From, or without it (Reader.Misfiled).
	Misfiled FaultKind = "misfiled"
)

// Fault is something wrong with a chain.
type Fault struct {
	Stream Stream
	Writer string
	Kind   FaultKind
	// From and To are places in the chain (Link.Seq).
	From, To uint64
	// Time is that of the record concerned, or of the one after a gap; zero if there is none.
	Time   time.Time
	Detail string
}

// ChainReport tells of one chain.
type ChainReport struct {
	Stream  Stream
	Writer  string
	Records int64
	// First and Last are the places at which the chain begins and ends now. A
	// First above 1 means that what was before is gone: older than the
	// retention, or removed. A chain does not tell which.
	First, Last uint64
	// Begins and Ends are the times of these two records.
	Begins, Ends time.Time
	Faults       int64
}

// Report is the outcome of Verify. The log is intact if there are no faults.
type Report struct {
	Records int64
	Chains  []ChainReport
	// Faults has the first of them, in the order of the chains; Total counts all.
	Faults []Fault
	Total  int64
}

// Verify reads the chains of a sink and tells which records were removed,
// changed, moved, doubled or misfiled since they were written. Without a Known link it
// cannot tell that the end of a chain was removed. It takes one record at a
// time into memory, and those next to which something is wrong.
func Verify(ctx context.Context, r Reader, c *Chain, o VerifyOptions) (Report, error) {
	if len(o.Streams) == 0 {
		o.Streams = Streams
	}
	if o.Most == 0 {
		o.Most = 1000
	}
	var out Report
	for _, s := range o.Streams {
		ends, err := r.Writers(ctx, s)
		if err != nil {
			return out, err
		}
		for _, w := range chainsOf(s, ends, o) {
			v := verifier{chain: c, stream: s, writer: w, report: &out, most: o.Most, known: map[uint64]Hash{}}
			for _, k := range o.Known {
				if k.Stream == s && k.Writer == w && k.Seq > 0 {
					v.known[k.Seq], v.end = k.Hash, max(v.end, k.Seq)
				}
			}
			if err := r.Follow(ctx, s, w, 0, func(r Record) error { v.next(r); return nil }); err != nil {
				return out, err
			}
			v.finish()
		}
		if err := misfiled(ctx, r, s, o, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// misfiled adds what questions are not answered with as it was written.
func misfiled(ctx context.Context, r Reader, s Stream, o VerifyOptions, out *Report) error {
	return r.Misfiled(ctx, s, o.Most, func(h Head) error {
		if o.Writer != "" && h.Writer != o.Writer {
			return nil
		}
		if i := slices.IndexFunc(out.Chains, func(c ChainReport) bool { return c.Stream == s && c.Writer == h.Writer }); i >= 0 {
			out.Chains[i].Faults++
		}
		out.add(Fault{Stream: s, Writer: h.Writer, Kind: Misfiled, From: h.Seq, To: h.Seq, Time: h.Time, Detail: "questions are not answered with this record as it was written"}, o.Most)
		return nil
	})
}

// add counts a fault, and keeps it if there are not too many.
func (r *Report) add(f Fault, most int) {
	r.Total++
	if len(r.Faults) < most {
		r.Faults = append(r.Faults, f)
	}
}

// chainsOf returns the names of the writers of a stream, those that are known
// of elsewhere included.
func chainsOf(s Stream, ends []Record, o VerifyOptions) []string {
	var names []string
	for _, r := range ends {
		names = append(names, r.Meta().Writer)
	}
	for _, k := range o.Known {
		if k.Stream == s && k.Seq > 0 {
			names = append(names, k.Writer)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return o.Writer != "" && n != o.Writer })
}

// verifier walks one chain.
type verifier struct {
	chain  *Chain
	stream Stream
	writer string
	report *Report
	most   int
	known  map[uint64]Hash
	end    uint64

	own     ChainReport
	last    Link // of the record before; Seq is 0 at the beginning
	suspect []suspect
}

// suspect is a record that does not follow from the one before.
type suspect struct {
	record Record
	before Hash // of the record that is before it now
	sum    Hash // what its own hash would have to be
}

func (v *verifier) next(r Record) {
	h := r.Meta()
	first := v.own.Records == 0
	v.own.Records++
	if first {
		v.own.First, v.own.Begins = h.Seq, h.Time
	}
	v.own.Last, v.own.Ends = h.Seq, h.Time
	if want, ok := v.known[h.Seq]; ok && want != h.Hash {
		v.fault(Fault{Kind: Changed, From: h.Seq, Time: h.Time, Detail: "the record is not the one that is remembered at this place"})
	}
	switch {
	case !first && h.Seq == v.last.Seq:
		v.fault(Fault{Kind: Doubled, From: h.Seq, Time: h.Time, Detail: "there is more than one record at this place"})
		return
	case h.Seq == v.last.Seq+1:
		// At the very beginning last is the zero Link, as it was for the writer.
		if sum := v.chain.Sum(v.last.Hash, r); sum != h.Hash {
			v.suspect = append(v.suspect, suspect{r, v.last.Hash, sum})
			if len(v.suspect) == maxSuspects {
				v.judge()
			}
		}
	case !first:
		v.fault(Fault{Kind: Missing, From: v.last.Seq + 1, To: h.Seq - 1, Time: h.Time, Detail: fmt.Sprintf("%d records are not there", h.Seq-1-v.last.Seq)})
	}
	v.last = h.Link
}

// maxSuspects bounds the search for where moved records come from.
const maxSuspects = 64

// judge finds out of each suspect whether it was changed, was moved here from
// elsewhere, or only follows one that was. A hash that fits cannot be made
// without the secret, so a place where the record fits is where it was written.
func (v *verifier) judge() {
	list := v.suspect
	v.suspect = nil
	for _, s := range list {
		h := s.record.Meta()
		if place, ok := v.origin(s, list); !ok {
			v.fault(Fault{Kind: Changed, From: h.Seq, Time: h.Time, Detail: "the record is not what was written"})
		} else if place != h.Seq {
			v.fault(Fault{Kind: Moved, From: h.Seq, To: place, Time: h.Time, Detail: fmt.Sprintf("the record was written as number %d", place)})
		}
	}
}

// origin looks for the place at which the record was written, among those of all suspects.
func (v *verifier) origin(s suspect, list []suspect) (uint64, bool) {
	h := s.record.Meta()
	own := h.Seq
	defer func() { h.Seq = own }()
	for _, at := range list {
		h.Seq = at.record.Meta().Seq
		if at.record == s.record {
			h.Seq = own
		}
		place := h.Seq
		if v.chain.Sum(at.before, s.record) == h.Hash {
			return place, true
		}
		for _, before := range list {
			if v.chain.Sum(before.record.Meta().Hash, s.record) == h.Hash || v.chain.Sum(before.sum, s.record) == h.Hash {
				return place, true
			}
		}
	}
	return 0, false
}

func (v *verifier) fault(f Fault) {
	f.Stream, f.Writer = v.stream, v.writer
	if f.To == 0 {
		f.To = f.From
	}
	v.own.Faults++
	v.report.add(f, v.most)
}

func (v *verifier) finish() {
	v.judge()
	if v.own.Last < v.end {
		v.fault(Fault{Kind: Missing, From: v.own.Last + 1, To: v.end, Detail: fmt.Sprintf("the end of the chain is not there: it went on to number %d", v.end)})
	}
	v.own.Stream, v.own.Writer = v.stream, v.writer
	v.report.Records += v.own.Records
	v.report.Chains = append(v.report.Chains, v.own)
}
