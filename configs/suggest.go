package configs

import (
	"fmt"
	"strings"
)

// Nearest returns the candidate that looks most like word, or "" when none is
// close enough to have been meant. A candidate is close within a third of its
// length in edits, or when it equals word but for separators or a missing section.
func Nearest(word string, candidates []string) string {
	best, bestScore := "", 1<<30
	plain := squash(word)
	if plain == "" {
		return ""
	}
	section, leaf := cutSection(word)
	for _, c := range candidates {
		limit, score := 1+len(c)/3, editDistance(plain, squash(c))
		if s, l := cutSection(c); s != "" {
			d := editDistance(squash(leaf), squash(l))
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

// Suggest phrases [Nearest] as the hint of an error, or lists the candidates
// when nothing is near.
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

// editDistance is the optimal string alignment distance: insert, delete,
// replace and swap of neighbours cost one each. Long words are cut: a
// suggestion for them means nothing, and the table would be large.
func editDistance(a, b string) int {
	const longest = 64
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
