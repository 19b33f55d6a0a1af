package audittest

// The oracle, for the test of the suite itself.
var (
	Expect = expect
	Count  = count
)
