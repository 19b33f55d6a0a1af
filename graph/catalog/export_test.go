package catalog

// SetMany makes questions use bits from n documents on, so that small worlds
// try both ways to an answer.
func (x *Index) SetMany(n int) { x.manyFrom = n }
