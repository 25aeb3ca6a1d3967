package faultstest

import (
	"encoding/json"
	"net/http"
	"testing"
)

// A Trouble is how a target treats the changes that it is asked to make. The
// zero value makes them.
type Trouble int

// Troubles.
const (
	None   Trouble = iota
	Refuse         // it answers with an error and changes nothing
	Lose           // it makes the change and answers with an error
	Ignore         // it changes nothing and answers that it did
)

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: there is no one to tell
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

// must fails the test on an error of the scaffolding.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
