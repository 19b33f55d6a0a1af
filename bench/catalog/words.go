package catalog

import (
	"math/rand/v2"
	"strings"
)

// frequent are the words that names and descriptions have most often, the most
// frequent first.
var frequent = strings.Fields(`service payment customer order report data event gateway account billing
invoice search shipping catalog login session message queue worker batch export import sync audit metrics
inventory pricing checkout refund ledger fraud risk profile notification mail template document storage image
video stream feed analytics dashboard console mobile partner public internal legacy proxy cache index router
scheduler pipeline warehouse forecast planning supply vendor contract tax currency exchange wallet card bank
transfer settlement claim policy quote booking seat ticket flight hotel travel map location route driver fleet
sensor device firmware telemetry alert incident runbook deploy build release feature flag config secret token
identity directory tenant team project resource quota limit usage cost budget survey review rating comment
forum chat voice call meeting calendar reminder task workflow approval form signature archive backup restore
migration replica shard cluster network firewall certificate domain registry package library toolkit sandbox`)

// vocabularySize is how many words there are in all.
const vocabularySize = 20_000

var (
	onsets = strings.Fields("b br c cl d dr f fl g gr h j k kr l m n p pl qu r s sk st t tr v w z")
	vowels = strings.Fields("a e i o u ai ea io ou")
	codas  = strings.Fields("l m n r s t x nd rk st")
)

// words makes the vocabulary: the frequent words, then made-up ones.
func words() []string {
	rng := rand.New(rand.NewPCG(1, 1))
	pick := func(from []string) string { return from[rng.IntN(len(from))] }
	out := append(make([]string, 0, vocabularySize), frequent...)
	seen := map[string]bool{}
	for _, w := range out {
		seen[w] = true
	}
	for len(out) < vocabularySize {
		w := pick(onsets) + pick(vowels) + pick(onsets) + pick(vowels) + pick(codas)
		if rng.IntN(2) == 0 {
			w = pick(onsets) + pick(vowels) + w
		}
		if !seen[w] {
			seen[w] = true
			out = append(out, w)
		}
	}
	return out
}

// speech draws words: the word of rank r about as often as 1/(r+4), as texts
// of people do.
type speech struct {
	words []string
	zipf  *rand.Zipf
}

func newSpeech(words []string, rng *rand.Rand) *speech {
	return &speech{words, rand.NewZipf(rng, 1.05, 4, uint64(len(words)-1))}
}

func (s *speech) say(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s.words[s.zipf.Uint64()]
	}
	return out
}

// title writes words as a name.
func title(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(out, " ")
}
