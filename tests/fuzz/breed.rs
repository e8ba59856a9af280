//! Inputs that look random and are the same in each run.

/// Values at which arithmetic goes wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    3,
    16,
    0x7F,
    4096,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    1 << 40,
    u64::MAX,
];

/// What texts are made of, and what takes them apart.
const PIECES: [&str; 46] = [
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    " ",
    "\t",
    "-",
    "0",
    "9",
    "\r\n",
    "\0",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{200b}",
    ";",
    "`id`",
    "$(id)",
    "${x}",
    "$ip",
    "|",
    ">",
    "!x",
    "..",
    "//",
    "../",
    "&a ",
    "*a",
    "{a,b}",
    "%s",
    "é",
    "null",
    "true",
    "-1",
    "1e9",
    "18446744073709551616",
    "[0-9999]",
    "node001..node999",
    "\n%%\n",
    "raw:",
    "not found",
];

/// Random numbers (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(input: usize) -> Self {
        Self((input as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or_default() % bound.max(1)
    }

    /// Changes a snapshot in one place, with `other` to take from.
    fn change_page(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let page = at / 4096 * 4096;
        match self.below(6) {
            // The headers and the tables of elements steer the walk.
            0 | 1 => {
                let at = page + self.below(40) * 4;
                let width = [2, 4, 8][self.below(3)];
                let edge = EDGES[self.below(EDGES.len())].to_le_bytes();
                if let Some(field) = bytes.get_mut(at..at + width) {
                    field.copy_from_slice(&edge[..width]);
                }
            }
            2 => {
                let at = page + self.below(400);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add([1, 255, 16, 128][self.below(4)]);
                }
            }
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            4 => {
                let from = self.below(other.len()) / 4096 * 4096;
                let length = [16, 512, 4096][self.below(3)];
                for (to, byte) in bytes[page..].iter_mut().zip(&other[from..]).take(length) {
                    *to = *byte;
                }
            }
            _ => bytes.truncate(at.max(100)),
        }
    }

    /// Changes a text in one place.
    fn change_text(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let end = bytes.len().min(at + 1 + self.below(24));
        let piece = PIECES[self.below(PIECES.len())].bytes();
        match self.below(10) {
            0 => drop(bytes.drain(at..end)),
            1 | 2 => drop(bytes.splice(at..at, piece)),
            3 => drop(bytes.splice(at..end, piece)),
            4 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            // A digit stays a digit, a letter a letter: the most that passes is near to what is right.
            5 | 6 => {
                let near = |byte: &u8| byte.is_ascii_alphanumeric();
                if let Some(byte) = bytes[at..].iter_mut().find(|byte| near(byte)) {
                    *byte = if byte.is_ascii_digit() {
                        b'0' + (*byte - b'0' + 1) % 10
                    } else {
                        b'a' + (*byte & 31) % 26
                    };
                }
            }
            7 => {
                let from = self.below(other.len());
                let length = self.below(40).min(other.len() - from);
                bytes.splice(at..at, other[from..from + length].iter().copied());
            }
            8 => self.change_lines(bytes),
            _ => bytes.truncate(at),
        }
    }

    /// Drops, doubles or moves a line.
    fn change_lines(&mut self, bytes: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> = bytes
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        if lines.is_empty() {
            return;
        }
        let (at, to) = (self.below(lines.len()), self.below(lines.len()));
        match self.below(3) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(to, lines[at].clone()),
            _ => lines.swap(at, to),
        }
        *bytes = lines.concat();
    }
}

fn bred(
    dice: &mut Dice,
    seeds: &[Vec<u8>],
    most: usize,
    change: fn(&mut Dice, &mut Vec<u8>, &[u8]),
) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(most) {
        let other = &seeds[dice.below(seeds.len())];
        change(dice, &mut bytes, other);
    }
    bytes
}

/// A snapshot with a few changes.
pub(crate) fn pages(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    bred(dice, seeds, 5, Dice::change_page)
}

/// A text with a few changes.
pub(crate) fn text(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    bred(dice, seeds, 3, Dice::change_text)
}
