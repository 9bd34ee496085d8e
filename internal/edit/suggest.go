package edit

import (
	"fmt"
	"slices"
	"strings"
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
		limit, score := 1+len(c)/3, Distance(plain, squash(c))
		if s, l := cutSection(c); s != "" {
			d := Distance(squash(leaf), squash(l))
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

// most is the number of candidates up to which a suggestion lists them all.
const most = 32

// Suggest phrases [Nearest] as the remedy of an error. When nothing is near it lists the candidates,
// of many those that are nearest.
func Suggest(word string, candidates []string) string {
	switch n := Nearest(word, candidates); {
	case n != "":
		return fmt.Sprintf("did you mean %s?", n)
	case len(candidates) == 0:
		return "there are none"
	case len(candidates) > most:
		distance := map[string]int{}
		for _, c := range candidates {
			distance[c] = Distance(word, c)
		}
		sorted := slices.Clone(candidates)
		slices.SortStableFunc(sorted, func(a, b string) int { return distance[a] - distance[b] })
		return "the nearest are: " + strings.Join(sorted[:4], ", ")
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

// NoSuch is the fault of a name that no thing of a kind has. [Suggest] is the remedy.
func NoSuch(kind string) string { return "there is no such " + kind }

// Unknown is the error of a name that is not among the known ones: the fault, the name, the
// nearest known one or all of them.
func Unknown(kind, name string, known []string) error {
	return fmt.Errorf("%s %q: %s; %s", kind, name, NoSuch(kind), Suggest(name, known))
}
