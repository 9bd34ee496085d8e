package data

import "strings"

// Kinds of links in archives.
const (
	linkNone     = iota
	linkHard     // to a name of the archive
	linkSymbolic // to a path from the link's folder on
)

// tarRecord is a file or a link of an archive.
type tarRecord struct {
	name string
	tarFile
	link   uint8
	target string
}

// tarNode is a folder, a file or a link of an archive.
type tarNode struct {
	children map[string]*tarNode // of a folder
	tarFile
	link   uint8
	target string
}

// tarTree finds the targets of links, as if the archive were unpacked into a folder that is the
// root.
type tarTree struct{ root *tarNode }

// newTarTree arranges the records; of several with the same name the last one counts.
func newTarTree(records []tarRecord) *tarTree {
	t := &tarTree{&tarNode{children: map[string]*tarNode{}}}
	for _, r := range records {
		at := t.root
		rest := strings.TrimPrefix(r.name, "/")
		for {
			name, below, deeper := strings.Cut(rest, "/")
			if !deeper {
				at.children[name] = &tarNode{tarFile: r.tarFile, link: r.link, target: r.target}
				break
			}
			next := at.children[name]
			if next == nil || next.children == nil && next.link == linkNone {
				next = &tarNode{children: map[string]*tarNode{}}
				at.children[name] = next
			}
			if next.children == nil { // below a link: nobody finds it by this name
				break
			}
			at, rest = next, below
		}
	}
	return t
}

// resolve follows a name from the root. The result holds the folders that lead to its file or
// folder, and that itself; it is empty where there is nothing.
func (t *tarTree) resolve(name string) []*tarNode { return t.walk([]*tarNode{t.root}, name) }

// maxLinks is how many links one name may lead through.
const maxLinks = 40

// walk follows a path from the last of the folders on.
func (t *tarTree) walk(from []*tarNode, name string) []*tarNode {
	at := append([]*tarNode(nil), from...)
	pending := strings.Split(name, "/")
	if strings.HasPrefix(name, "/") {
		at = at[:1]
	}
	for links := 0; len(pending) > 0; {
		part := pending[0]
		pending = pending[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 1 {
				return nil
			}
			at = at[:len(at)-1]
			continue
		}
		next := at[len(at)-1].children[part]
		if next == nil {
			return nil
		}
		if next.link == linkNone {
			at = append(at, next)
			continue
		}
		if links++; links > maxLinks {
			return nil
		}
		if next.link == linkHard || strings.HasPrefix(next.target, "/") {
			at = at[:1]
		}
		pending = append(strings.Split(next.target, "/"), pending...)
	}
	return at
}
