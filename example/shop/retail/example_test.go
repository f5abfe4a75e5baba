package retail_test

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/banyanhq/banyan/example/shop/retail"
)

// What could be read of a damaged file comes with the error.
func ExampleParse() {
	const month = `InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
536365,71053,"LANTERN, 3"" HIGH",6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom
536366,22633,HAND WARMER,6,2010-12-01 08:28:00,1.85,,United Kingdom
536367,84879,12" RULER,32,2010-12-01 08:34:00,1.69,13047.0,United Kingdom
`
	file, err := retail.Parse("2010-12.csv", strings.NewReader(month))
	for _, invoice := range file.Invoices {
		fmt.Println(invoice.Number, invoice.Date.Format(time.DateTime), "customer", invoice.Customer)
		for _, line := range invoice.Lines {
			fmt.Printf("  line %d: %s × %s at %s\n", line.Row, line.Quantity, line.Description, line.UnitPrice)
		}
	}
	fmt.Println(err)
	// Output:
	// 536365 2010-12-01 08:26:00 customer 17850
	//   line 2: 6 × WHITE HEART at 2.55
	//   line 3: 6 × LANTERN, 3" HIGH at 3.39
	// 2010-12.csv:5: bad quoting: a quote in a field without quotes (byte 16): quote the field and double the quote; rows before this line were read, without invoice 536366, which may be cut
}

// A month to try the shop with.
func ExampleGenerate() {
	var month bytes.Buffer
	if err := retail.Generate(&month, 1, time.Date(2010, time.December, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		fmt.Println(err)
		return
	}
	file, err := retail.Parse("generated.csv", &month)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(file.Invoices), "invoices with", file.Rows, "rows")
	// Output: 1999 invoices with 39206 rows
}
