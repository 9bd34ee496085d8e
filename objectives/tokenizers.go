package objectives

import (
	"fmt"

	"github.com/vittool/vittool/objectives/tokenizer"
)

// TokenizerExport is the name of the export in the plan of an objective that trains a tokenizer.
const TokenizerExport = tokenizer.ExportName

// Tokenizer is a tokenizer file, which an objective such as beit reads its targets with.
type Tokenizer = tokenizer.File

// OpenTokenizer reads the description of a tokenizer file.
func OpenTokenizer(path string) (*Tokenizer, error) { return tokenizer.Open(path) }

// ImportTokenizer recognizes published weights by the shapes of their tensors. It returns the names
// of the tensors that make a tokenizer file, and its metadata.
func ImportTokenizer(shapes map[string][]int) (names []string, meta map[string]string, err error) {
	c, err := tokenizer.DescribeDALLE(shapes)
	if err != nil {
		return nil, nil, err
	}
	if meta, err = c.FileMetadata(tokenizer.DALLEMean, tokenizer.DALLEStd); err != nil {
		return nil, nil, fmt.Errorf("tokenizer: %w", err)
	}
	return c.Names(), meta, nil
}
