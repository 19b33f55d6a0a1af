package identity_test

import "testing"

// The icon of a project may go with the team that it loses: the project is written twice by one deletion.
func TestDeletingATeamWhoseUploadIsTheIconOfItsProject(t *testing.T) {
	richWorld(t).deleteAndRestore(struct{ acts, victims []string }{[]string{
		`{"op":"put","node":"team:t0","data":{"organization":"acme","slug":"t0"}}`,
		`{"op":"ensure","node":"project:p1","data":{"organization":"acme","slug":"p1","team":"t0"}}`,
		"upload u0 team:t0 b0 picture",
		`{"op":"patch","node":"project:p1","data":{"icon":"upload:u0"}}`,
	}, []string{"team:t0"}})
}
