package core

import "testing"

// testEngine returns an engine that the test closes.
func testEngine(t testing.TB, threads int) *Engine {
	t.Helper()
	e, err := NewEngine(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}
