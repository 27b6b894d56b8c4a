//! Quoted fields that do not end in their line: most of them are a quote too many, which would swallow the lines below.

/// A quoted field that goes on beyond its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LongField {
    /// The line of its first quote, from 1.
    pub(super) line: u64,
    /// The line of its last quote; none if the list ends before there is one.
    pub(super) end: Option<u64>,
    /// Whether its last quote is followed by the end of the field.
    pub(super) ends_there: bool,
    /// The number of its column, from 0.
    pub(super) column: usize,
}

/// Where the scan is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a field.
    Start,
    /// In a field without quotes, or behind those of one with quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes the field, unless another one follows.
    Closed,
}

/// The quoted fields of a list that go on beyond their line, in its order.
pub(super) fn long_fields(text: &[u8]) -> Vec<LongField> {
    let mut found = Vec::new();
    let (mut state, mut line, mut column, mut opened) = (State::Start, 1, 0, 0);
    for (at, &byte) in text.iter().enumerate() {
        let ends_field = matches!(byte, b',' | b'\r' | b'\n');
        state = match (state, byte) {
            (State::Start, b'"') => {
                opened = line;
                State::Quoted
            }
            (State::Quoted, b'"') => State::Closed,
            (State::Closed, b'"') | (State::Quoted, _) => State::Quoted,
            (before, _) => {
                if before == State::Closed && opened < line {
                    found.push(LongField {
                        line: opened,
                        end: Some(line),
                        ends_there: ends_field,
                        column,
                    });
                }
                match byte {
                    b',' => column += 1,
                    b'\r' | b'\n' => column = 0,
                    _ => {}
                }
                if ends_field {
                    State::Start
                } else {
                    State::Plain
                }
            }
        };
        line += u64::from(is_line_break(text, at));
    }
    let end = match state {
        State::Closed if opened < line => Some(line),
        State::Quoted => None,
        _ => return found,
    };
    found.push(LongField {
        line: opened,
        end,
        ends_there: true,
        column,
    });
    found
}

/// Whether a line ends at this byte: with a line feed, a carriage return, or both.
pub(super) fn is_line_break(text: &[u8], at: usize) -> bool {
    match text[at] {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u64, Option<u64>, bool, usize)> {
        let fields = long_fields(text.as_bytes()).into_iter();
        fields
            .map(|field| (field.line, field.end, field.ends_there, field.column))
            .collect()
    }

    #[test]
    fn quotes_that_end_in_their_line_are_none_of_them() {
        for text in ["a,\"b, \"\"c\"\"\"\nd,e", "a,b\"\nc\",d\n", "\"a\"", ""] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn long_fields_are_found_with_their_lines() {
        assert_eq!(found("a,b\nc,\"d\ne,f\n"), [(2, None, true, 1)]);
        assert_eq!(
            found("a,\"b\nc\",d\n\"e\nf\n\"\n"),
            [(1, Some(2), true, 1), (3, Some(5), true, 0)]
        );
        assert_eq!(
            found("a,\"b\nc,\"d\"\ne,\"f"),
            [(1, Some(2), false, 1), (3, None, true, 1)]
        );
        assert_eq!(found("a,\"b\r\nc\""), [(1, Some(2), true, 1)]);
        assert_eq!(
            found("a,\"b\rc\"\rd,\"e\r"),
            [(1, Some(2), true, 1), (3, None, true, 1)]
        );
    }
}
