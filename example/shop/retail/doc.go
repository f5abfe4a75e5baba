// Package retail reads, and generates, months of transactions in the format of
// the "Online Retail" data set: the input that the shop imports.
//
// # Format
//
// A file is CSV in UTF-8, plain or compressed with gzip, told apart by content:
// a compressed file may have any name, but a file called .gz has to be one. The
// first line names the columns. These eight are needed, in any order and in
// upper or lower case; other columns are allowed and ignored:
//
//	InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
//
// A byte order mark, CRLF line ends, blank lines, quoted fields with commas,
// doubled quotes and line breaks are understood. Line breaks inside a quoted
// field are read as "\n", whichever kind the file has.
//
// All rows with one InvoiceNo are one invoice, also when other rows stand
// between them. Its date, customer and country are those of its first row. Dates
// are read as written, in UTC; those with slashes are month first, as in the
// original. Customer "17850.0" is "17850", an empty one is a guest.
//
// # Guarantees
//
//   - Nothing is judged here. Stock code, description, quantity and price are the
//     text of the file, unchanged; whether they make sense is decided by the
//     service that takes the order.
//   - Nothing is dropped silently. Every row is in exactly one invoice of the
//     [File], or in the Cut of a [DamagedError], with the line it starts on.
//   - Nothing is invented. Rows of a gzip file whose checksum or structure shows
//     that its content was altered are not handed out at all. The one kind of
//     alteration that cannot be seen is inside a gzip file that is also
//     truncated, since the checksum is what is missing.
//
// # Damage
//
// A file that cannot be read to its end gives one [*DamagedError] that names file
// and line, beside the invoices read before that line. The invoice of the last
// row read is not among them, because the damage may have cut it; the error
// carries it. Any other invoice is handed out as far as it was read: rows of it
// that stand behind the damage are unknown. A plain file that ends in the middle
// of the last field of its last row looks like a whole one.
//
// # Cost and concurrency
//
// A file is held in memory, about 80 bytes a row where texts repeat as they do in
// real months; one record may have up to 1 MiB. Functions share no state and may
// run at the same time; [WriteRejects] wants one writer per path.
package retail
