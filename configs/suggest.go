package configs

import (
	"fmt"
	"strings"

	"github.com/vittool/vittool/internal/edit"
)

// Nearest returns the candidate that looks most like word, or "" when none is close enough to have
// been meant. A candidate is close within a third of its length in edits, or when it equals word
// but for separators or a missing section.
func Nearest(word string, candidates []string) string {
	best, bestScore := "", 1<<30
	plain := squash(word)
	if plain == "" {
		return ""
	}
	section, leaf := cutSection(word)
	for _, c := range candidates {
		limit, score := 1+len(c)/3, edit.Distance(plain, squash(c))
		if s, l := cutSection(c); s != "" {
			d := edit.Distance(squash(leaf), squash(l))
			switch {
			case s == section: // the section is right, so only the name counts
				limit, score = 1+len(l)/3, d
			case d*3 <= len(l) && d+1 < score: // "epochs" or "model.epochs" for "train.epochs"
				score = d + 1
			}
		}
		if score <= limit && score < bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

// Suggest phrases [Nearest] as the hint of an error, or lists the candidates when nothing is near.
func Suggest(word string, candidates []string) string {
	if n := Nearest(word, candidates); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	return "valid are: " + strings.Join(candidates, ", ")
}

// cutSection splits a key at its last dot; without one the section is empty.
func cutSection(key string) (section, leaf string) {
	dot := strings.LastIndexByte(key, '.')
	return key[:max(dot, 0)], key[dot+1:]
}

func squash(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', ' ', '.':
			return -1
		}
		return r
	}, strings.ToLower(s))
}
