package tasks

import (
	"fmt"

	"github.com/vittool/vittool/data"
	"github.com/vittool/vittool/tasks/pictures"
)

// DrawNeighbours draws the nearest images of the bank beside count test images, spread evenly, one
// row each. Images of the same class have a green frame, others a red one. The features must come
// from these sources.
func (r *KNNResult) DrawNeighbours(bank, test *Features, bankImages, testImages data.Source, count int) (pictures.Grid, error) {
	shown := min(r.K, 8)
	grid := pictures.Grid{
		Title:    fmt.Sprintf("nearest of %d images by cosine similarity; top-1 %.1f %% with k = %d", bank.Rows, 100*r.Top1, r.K),
		CellSize: 96,
	}
	for _, row := range spreadIDs(test.Rows, count) {
		query, err := cellOf(testImages, test, row)
		if err != nil {
			return grid, err
		}
		cells := []pictures.Cell{query, {}}
		for _, n := range r.Neighbours[row*r.K : row*r.K+shown] {
			cell, err := cellOf(bankImages, bank, int(n))
			if err != nil {
				return grid, err
			}
			cell.Frame = pictures.Wrong
			if test.Labels[row] == bank.Labels[n] {
				cell.Frame = pictures.Right
			}
			cells = append(cells, cell)
		}
		grid.Rows = append(grid.Rows, pictures.Row{Cells: cells})
	}
	return grid, nil
}

// cellOf is the image of a row of features, with its class below.
func cellOf(images data.Source, f *Features, row int) (pictures.Cell, error) {
	id := row
	if f.IDs != nil {
		id = f.IDs[row]
	}
	if id >= images.Len() {
		return pictures.Cell{}, fmt.Errorf("neighbours: row %d is image %d, the source has %d", row, id, images.Len())
	}
	img, err := images.Image(id)
	if err != nil {
		return pictures.Cell{}, fmt.Errorf("neighbours: %s: %w", images.Name(id), err)
	}
	caption := ""
	if row < len(f.Labels) && int(f.Labels[row]) < len(f.Classes) && f.Labels[row] >= 0 {
		caption = f.Classes[f.Labels[row]]
	}
	return pictures.Cell{Image: data.Picture(img), Caption: caption}, nil
}
