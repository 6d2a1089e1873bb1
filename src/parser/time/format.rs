//! A `Time_Format` as a list of steps.

/// One step over the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Blanks of the format: any number of blanks, also none.
    Blanks,
    /// `%n`, `%t`: the same, but not at the end of the text.
    InnerBlanks,
    /// This byte.
    Byte(u8),
    /// Digits within limits.
    Number(Field, i64, i64),
    /// `%e`: as `%d`, behind a blank or none.
    BlankDay,
    Weekday,
    Month,
    /// `%p`.
    Half,
    /// `%s`.
    Epoch,
    /// `%G`, which is not looked at.
    IsoYear,
    /// `%z`.
    Offset,
    /// `%Z`.
    ZoneName,
    /// Where `strptime` has read a composite such as `%F` and concludes what it can from it.
    Conclude,
    /// A conversion that there is not.
    Never,
}

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Year,
    YearOfCentury,
    Century,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    /// Checked and not used.
    Unused,
}

/// The modifiers `E` and `O` ask for other forms of a conversion. There are none, but they may stand where C allows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modifier {
    None,
    Era,
    Other,
}

/// Cuts a format into steps.
pub(super) fn steps(format: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    push(format.as_bytes(), &mut steps);
    steps
}

fn push(format: &[u8], steps: &mut Vec<Step>) {
    let mut bytes = format.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t'..=b'\r' => steps.push(Step::Blanks),
            b'%' => {
                let mut letter = bytes.next();
                let modifier = match letter {
                    Some(b'E') => Modifier::Era,
                    Some(b'O') => Modifier::Other,
                    _ => Modifier::None,
                };
                if modifier != Modifier::None {
                    letter = bytes.next();
                }
                conversion(letter.unwrap_or_default(), modifier, steps);
            }
            byte => steps.push(Step::Byte(byte)),
        }
    }
}

fn conversion(letter: u8, modifier: Modifier, steps: &mut Vec<Step>) {
    if !takes(letter, modifier) {
        return steps.push(Step::Never);
    }
    let number = |field, low, high| Step::Number(field, low, high);
    let composite: &[u8] = match letter {
        b'c' => b"%a %b %e %H:%M:%S %Y",
        b'D' | b'x' => b"%m/%d/%y",
        b'F' => b"%Y-%m-%d",
        b'R' => b"%H:%M",
        b'r' => b"%I:%M:%S %p",
        b'T' | b'X' => b"%H:%M:%S",
        _ => {
            return steps.push(match letter {
                b'%' => Step::Byte(b'%'),
                b'A' | b'a' => Step::Weekday,
                b'B' | b'b' | b'h' => Step::Month,
                b'C' => number(Field::Century, 0, 99),
                b'd' => number(Field::Day, 1, 31),
                b'e' => Step::BlankDay,
                b'G' => Step::IsoYear,
                b'g' => number(Field::Unused, 0, 99),
                b'H' | b'k' => number(Field::Hour, 0, 23),
                b'I' | b'l' => number(Field::Hour, 1, 12),
                b'j' => number(Field::DayOfYear, 1, 366),
                b'M' => number(Field::Minute, 0, 59),
                b'm' => number(Field::Month, 1, 12),
                b'n' | b't' => Step::InnerBlanks,
                b'p' => Step::Half,
                b'S' => number(Field::Second, 0, 60),
                b's' => Step::Epoch,
                b'U' | b'V' | b'W' => number(Field::Unused, 0, 53),
                b'u' => number(Field::Unused, 1, 7),
                b'w' => number(Field::Unused, 0, 6),
                b'Y' => number(Field::Year, 0, 9999),
                b'y' => number(Field::YearOfCentury, 0, 99),
                b'Z' => Step::ZoneName,
                b'z' => Step::Offset,
                _ => Step::Never,
            });
        }
    };
    push(composite, steps);
    steps.push(Step::Conclude);
}

/// Whether a conversion may have a modifier.
fn takes(letter: u8, modifier: Modifier) -> bool {
    match modifier {
        Modifier::None => true,
        Modifier::Era => matches!(
            letter,
            b'c' | b'X'
                | b'x'
                | b'C'
                | b'Y'
                | b'y'
                | b'g'
                | b'G'
                | b'V'
                | b's'
                | b'z'
                | b'Z'
                | b'%'
        ),
        Modifier::Other => matches!(
            letter,
            b'd' | b'e'
                | b'H'
                | b'I'
                | b'M'
                | b'm'
                | b'S'
                | b'U'
                | b'W'
                | b'w'
                | b'u'
                | b'y'
                | b'g'
                | b'G'
                | b'V'
                | b's'
                | b'z'
                | b'Z'
                | b'%'
        ),
    }
}
