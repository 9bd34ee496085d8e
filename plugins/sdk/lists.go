package sdk

import "fmt"

// OptionList is the value of an option whose meaning lies in its places, to be checked in Plan.
type OptionList struct {
	Key    string
	Values []float64
	Length int  // that it must have
	Range  bool // smallest and largest share: they come in this order
}

// CheckLists refuses lists of another length and ranges the wrong way round.
func CheckLists(lists ...OptionList) error {
	for _, l := range lists {
		if len(l.Values) != l.Length {
			return fmt.Errorf("%s has %d values; it takes %d", l.Key, len(l.Values), l.Length)
		}
		if l.Range && l.Values[0] > l.Values[1] {
			return fmt.Errorf("%s is [%v, %v]; the smaller share comes first", l.Key, l.Values[0], l.Values[1])
		}
	}
	return nil
}

// CheckColorJitter refuses what cannot be the four strengths of ColorJitter: another number
// of values, or a hue that goes further than half of the circle.
func CheckColorJitter(key string, strengths []float64) error {
	if err := CheckLists(OptionList{Key: key, Values: strengths, Length: 4}); err != nil {
		return err
	}
	if strengths[3] > 0.5 {
		return fmt.Errorf("%s shifts the hue by up to %v; 0.5 is half of the circle and the most", key, strengths[3])
	}
	return nil
}
