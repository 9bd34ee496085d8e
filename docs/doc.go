// Package docs holds the project's pages. Its tests hold them to the code: links
// lead somewhere, files that are named exist, programs that are shown compile.
package docs
