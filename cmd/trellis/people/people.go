// Package people reads a table of people, as a personnel office exports it, and
// says which users, and which memberships of theirs, the graph is to hold. It
// promises that a table with a mistake in it is refused with every mistake named
// by its line; that a column is read only if it is known or asked for; and that
// nobody is taken away because a table does not name them. It writes nothing
// itself.
package people

import "trellis/cmd/trellis/wanted"

// Table is all that was read.
type Table struct {
	// Rows in the order of the file, one a person.
	Rows []Row
	// Teams, Groups and Status tell whether there are such columns.
	Teams, Groups, Status bool
	// Notes say what was not read.
	Notes []wanted.Note
}

// Row is one person.
type Row struct {
	wanted.Place
	// Email in lower case.
	Email string
	Name  string
	// Status is "" if the table does not say.
	Status        string
	Teams, Groups []string
	// Attributes holds the manager and the columns asked for.
	Attributes map[string]string
}

// Person is somebody whom the graph knows.
type Person struct {
	ID     string `json:"id"`
	Email  string `json:"email"`
	Name   string `json:"name"`
	Status string `json:"status"`
}

// Set is a team or a group that the graph knows.
type Set struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}
