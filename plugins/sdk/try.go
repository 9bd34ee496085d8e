package sdk

import "encoding/json"

// Trial is an objective that was opened by Try.
type Trial struct {
	Plan    *Plan
	session *session
}

// Try plans o with options, by key, in place of its defaults, as the host would: for tests of an
// objective. Errors are those of wrong declarations, of options, and of Plan.
func Try(o Objective, run Run, options map[string]any) (*Trial, error) {
	s, err := NewServer(o, nil)
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	ses, err := newSession(o, s.options, run, config)
	if err != nil {
		return nil, err
	}
	return &Trial{Plan: ses.plan, session: ses}, nil
}

// Masks draws the masks of a step for the given samples, in the order of Plan.Masks.
func (t *Trial) Masks(seed, step uint64, samples ...uint64) []MaskValues {
	var out []MaskValues
	for _, m := range t.session.samplers {
		out = append(out, m.run(&MaskCall{Seed: seed, MicroBatch: step, Samples: samples}))
	}
	return out
}
