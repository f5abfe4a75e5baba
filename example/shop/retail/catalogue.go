package retail

import "strconv"

// product is something the generated shop sells; the price is in thousandths.
type product struct {
	code, text string
	price      int
}

const productCount = 2800

var (
	colours   = [...]string{"RED", "BLUE", "IVORY", "PINK", "GREEN", "BLACK", "SILVER", "CREAM", "WHITE", "VINTAGE"}
	materials = [...]string{"METAL", "WOODEN", "CERAMIC", "PAPER", "GLASS", "FELT", "ENAMEL", "COTTON", "WICKER", "TIN"}
	things    = [...]string{
		"LANTERN", "CAKE STAND", "TEA TOWEL", "MUG", "DOOR SIGN", "CLOCK", "PICTURE FRAME", "BIRD HOUSE", "NAPKINS",
		"CANDLE HOLDER", "LUNCH BOX", "GARLAND", "DOLL", "UMBRELLA", "TRINKET BOX", "PLANT POT", "BUNTING", "COASTER",
		"TEAPOT", "NOTEBOOK", "DOORSTOP", "CUSHION", "JAM JAR", "EGG CUP", "WASHBAG", "LAMP SHADE", "COAT HOOK", "MIRROR",
	}
	abroad = [...]string{
		"Germany", "France", "EIRE", "Norway", "Portugal", "Belgium", "Spain", "Netherlands", "Japan", "Switzerland",
		"Italy", "Australia", "Iceland", "Sweden", "Denmark", "Channel Islands",
	}
	remarks = [...]string{"", "", "", "damaged", "?", "check", "lost, then found", "wet/rusty", `label says "12"`}
)

// newCatalogue makes every product a different text: all combinations of colour,
// material and thing in turn. Some texts are decorated as a person at a till
// would, with commas, quotes and stray spaces.
func newCatalogue(d dice) []product {
	products := make([]product, productCount)
	for i := range products {
		text := colours[i%10] + " " + materials[i/10%10] + " " + things[i/100%len(things)]
		code := strconv.Itoa(20_000 + i)
		switch {
		case i%11 == 3:
			code += string(rune('A' + d.below(8)))
		case i%17 == 5:
			text = strconv.Itoa(2+d.below(14)) + `" ` + text
		case i%19 == 7:
			text = "SET/" + strconv.Itoa(2+d.below(10)) + ", " + text
		case i%23 == 9:
			text += ` "LOVE, HOME" `
		}
		products[i] = product{code, text, price(d)}
	}
	return products
}

// price is mostly below five pounds, and ends as prices in shops do.
func price(d dice) int {
	endings := [...]int{250, 450, 650, 850, 950, 100, 550, 990}
	whole := min(d.below(13), d.below(13), d.below(30))
	return 1000*whole + endings[d.below(len(endings))]
}
