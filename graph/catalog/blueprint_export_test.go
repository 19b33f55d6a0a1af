package catalog

import "trellis/graph"

// CheckSchema tells what is wrong with the text of a blueprint's schema.
func CheckSchema(text string) []graph.Field {
	_, faults := checkSchema(text)
	return faults
}
