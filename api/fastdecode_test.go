package api

import (
	"reflect"
	"testing"
)

// decoder is a call that can only decode.
func decoder(t testing.TB) *call {
	_, types, err := describe(table(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return &call{server: &server{types: types}, rt: &route{}}
}

func FuzzQuickPathAcceptsOnlyWhatDecodeAccepts(f *testing.F) {
	for _, s := range []string{
		`{"permission":"repo:push","resource":"repo:x"}`, `{"subject":"user:a","permission":"a:b","resource":"c:d"}`, `{"permission":"","resource":"repo:x"}`,
		`{"permission":"repo:push","resource":"repo:x","context":{}}`, `{"checks":[{"permission":"a:b","resource":"c:d"}]}`, `{"checks":[]}`, `{"checks":[],"consistency":"fully_consistent"}`,
		`{"permission":"a\u0041","resource":"repo:x"}`, ` { "permission" : "a:b" , "resource" : "c:d" } `, `{"permission":"a:b","resource":"c:d"}x`, `{"permission":"a:b","permission":"a:b","resource":"c:d"}`,
	} {
		f.Add([]byte(s))
	}
	c := decoder(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		c.body = body
		var one, other CheckInput
		if c.quickly(one.Question.read) {
			if err := c.decode(&other); err != nil || !reflect.DeepEqual(one, other) {
				t.Errorf("%s: quickly %+v, decode %+v %v", body, one, other, err)
			}
		}
		var many, others ChecksInput
		if c.quickly(many.read) {
			if err := c.decode(&others); err != nil || len(many.Checks) != len(others.Checks) || len(many.Checks) > 0 && !reflect.DeepEqual(many, others) {
				t.Errorf("%s: quickly %+v, decode %+v %v", body, many, others, err)
			}
		}
	})
}

func BenchmarkDecodeCheck(b *testing.B) {
	c := decoder(b)
	c.body = []byte(`{"subject":"user:0197c5a2-8f5e-7c3a-9b1d-2f6e8a4c0d17","permission":"repo:push","resource":"repo:kubernetes/kubernetes"}`)
	b.ReportAllocs()
	b.Run("quick", func(b *testing.B) {
		for b.Loop() {
			var in CheckInput
			if !c.quickly(in.Question.read) {
				b.Fatal("not quickly")
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			var in CheckInput
			if err := c.decode(&in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
