//! The steps that a record implies, and the source that has them. Knows nothing of Python but its
//! syntax.

use crate::events::{Argument, Event, Record};
use crate::step::{Action, Condition, Kind, MAX_WORDS, Step};

/// The steps that a record implies, with a slot for each argument, and the local name of each flag
/// word. `None` if it is not what a generated function does.
pub(crate) fn steps(record: &Record) -> Option<Vec<Step>> {
    let mut parser = Parser { record, at: 0, value: 0, words: Vec::new() };
    let mut steps = Vec::new();
    while parser.at < record.events.len() {
        steps.push(parser.step()?);
    }
    Some(steps)
}

/// Turns events into steps.
struct Parser<'r> {
    record: &'r Record,
    /// The next event, and the number of the next value.
    at: usize,
    value: usize,
    /// The values that are flag words.
    words: Vec<usize>,
}

impl Parser<'_> {
    fn step(&mut self) -> Option<Step> {
        if let Event::Test { word, mask } = *self.peek()? {
            self.at += 1;
            let when = Some(self.condition(word, mask)?);
            let action = self.action()?;
            return matches!(action, Action::Value { .. } | Action::Vector { .. }).then_some(Step { when, action });
        }
        Some(Step { when: None, action: self.action()? })
    }

    fn action(&mut self) -> Option<Action> {
        match self.next()? {
            Event::Flag { word, mask } => {
                let flag = self.condition(word, mask)?;
                Some(Action::Flag { slot: self.slot(Argument::Value(self.value - 1))?, flag })
            }
            Event::Read(Kind::Int) if self.is_word(self.value - 1) => {
                self.words.push(self.value - 1);
                let word = self.words.len() - 1;
                (word < MAX_WORDS).then_some(Action::Word(u8::try_from(word).ok()?))
            }
            Event::Read(Kind::Int) if self.is_count() => self.vector(false),
            Event::Read(kind) => match self.slot(Argument::Value(self.value - 1)) {
                Some(slot) => Some(Action::Value { slot, kind }),
                None if kind == Kind::Int => self.skipped(),
                None => None,
            },
            Event::Test { .. } | Event::Range(_) => None,
        }
    }

    /// Reads on after an integer that is not used, which may be the constructor ID of a vector.
    fn skipped(&mut self) -> Option<Action> {
        let before = (self.at, self.value);
        if let Some(Event::Read(Kind::Int)) = self.next()
            && self.is_count()
        {
            return self.vector(true);
        }
        (self.at, self.value) = before;
        Some(Action::Skip)
    }

    /// Reads on after the length of a vector.
    fn vector(&mut self, has_id: bool) -> Option<Action> {
        self.at += 1;
        let Event::Read(kind) = self.next()? else { return None };
        Some(Action::Vector { slot: self.slot(Argument::List(self.value - 1))?, kind, has_id })
    }

    fn peek(&self) -> Option<&Event> {
        self.record.events.get(self.at)
    }

    fn next(&mut self) -> Option<Event> {
        let event = *self.record.events.get(self.at)?;
        self.at += 1;
        self.value += usize::from(matches!(event, Event::Read(_) | Event::Flag { .. }));
        Some(event)
    }

    /// Returns `true` if the value that was just read is the length of a vector.
    fn is_count(&self) -> bool {
        self.peek() == Some(&Event::Range(self.value - 1))
    }

    fn is_word(&self, value: usize) -> bool {
        self.record
            .events
            .iter()
            .any(|event| matches!(event, Event::Flag { word, .. } | Event::Test { word, .. } if *word == value))
    }

    fn condition(&self, word: usize, mask: u32) -> Option<Condition> {
        let word = self.words.iter().position(|value| *value == word)?;
        Some(Condition { word: u8::try_from(word).ok()?, mask })
    }

    fn slot(&self, argument: Argument) -> Option<u16> {
        let mut arguments = self.record.arguments.iter();
        u16::try_from(arguments.position(|(_, each)| *each == argument)?).ok()
    }
}

/// Returns the source of a function with these steps, whose parameters and local variables have
/// these names.
pub(crate) fn write(steps: &[Step], record: &Record, variables: &[String]) -> Option<String> {
    let [class, reader, locals @ ..] = variables else { return None };
    // All other variables begin with an underscore.
    let mut flags = locals.iter().filter(|name| !name.starts_with('_'));
    let used = steps.iter().filter(|step| matches!(step.action, Action::Word(_))).count();
    // A flag word without flags.
    let mut unused = flags.clone().count().checked_sub(used)?;
    let mut words = Vec::new();
    let name = |slot: u16| record.arguments.get(usize::from(slot)).map(|(name, _)| name.as_str());
    let test =
        |words: &[&String], flag: &Condition| Some(format!("{} & {}", words.get(usize::from(flag.word))?, flag.mask));
    let read = |kind: Kind| format!("{reader}.{}", call(kind));
    let mut source = format!("def from_reader({class}, {reader}):\n");
    for step in steps {
        let mut lines = Vec::new();
        let mut variable = None;
        match &step.action {
            Action::Word(_) => {
                let word = flags.next()?;
                words.push(word);
                lines.push(format!("{word} = {}", read(Kind::Int)));
            }
            Action::Skip if unused > 0 => {
                unused -= 1;
                lines.push(format!("{} = {}", flags.next()?, read(Kind::Int)));
            }
            Action::Skip => lines.push(read(Kind::Int)),
            Action::Flag { slot, flag } => lines.push(format!("_{} = bool({})", name(*slot)?, test(&words, flag)?)),
            Action::Value { slot, kind } => {
                variable = name(*slot);
                lines.push(format!("_{} = {}", variable?, read(*kind)));
            }
            Action::Vector { slot, kind, has_id } => {
                variable = name(*slot);
                let list = variable?;
                if *has_id {
                    lines.push(read(Kind::Int));
                }
                lines.push(format!("_{list} = []"));
                lines.push(format!("for _ in range({}):", read(Kind::Int)));
                lines.push(format!(" _x = {}", read(*kind)));
                lines.push(format!(" _{list}.append(_x)"));
            }
        }
        match &step.when {
            None => source.extend(lines.iter().map(|line| format!(" {line}\n"))),
            Some(flag) => {
                source.extend([format!(" if {}:\n", test(&words, flag)?)]);
                source.extend(lines.iter().map(|line| format!("  {line}\n")));
                source.extend([format!(" else:\n  _{} = None\n", variable?)]);
            }
        }
    }
    let arguments: Vec<_> = record.arguments.iter().map(|(name, _)| format!("{name}=_{name}")).collect();
    Some(source + &format!(" return {class}({})\n", arguments.join(", ")))
}

/// Returns the call of Telethon's reader for a value.
fn call(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "read_int()",
        Kind::UnsignedInt => "read_int(signed=False)",
        Kind::Long => "read_long()",
        Kind::Double => "read_double()",
        Kind::Int128 => "read_large_int(bits=128)",
        Kind::Int256 => "read_large_int(bits=256)",
        Kind::Bytes => "tgread_bytes()",
        Kind::Text => "tgread_string()",
        Kind::Bool => "tgread_bool()",
        Kind::Date => "tgread_date()",
        Kind::Object => "tgread_object()",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: usize = 2;
    const KINDS: [Kind; 5] = [Kind::Int, Kind::Long, Kind::Text, Kind::Object, Kind::UnsignedInt];

    /// Numbers that look random.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap_or(0) % limit
        }
    }

    /// Returns steps as a generated function has them: each slot once, and flag words that are used.
    fn random_steps(numbers: &mut Numbers) -> Vec<Step> {
        let mut steps = Vec::new();
        for word in 0..WORDS {
            steps.push(Step { when: None, action: Action::Word(u8::try_from(word).unwrap_or(0)) });
        }
        let slots = 2 + numbers.below(20);
        for slot in 0..u16::try_from(slots).unwrap_or(0) {
            let word = if slot < 2 { slot } else { u16::try_from(numbers.below(WORDS)).unwrap_or(0) };
            let flag = Condition { word: word.to_le_bytes()[0], mask: 1 << numbers.below(32) };
            let kind = KINDS[numbers.below(KINDS.len())];
            let when = (numbers.below(2) == 0).then_some(flag);
            steps.push(match numbers.below(4) {
                _ if slot < 2 => Step { when: None, action: Action::Flag { slot, flag } },
                0 => Step { when: None, action: Action::Flag { slot, flag } },
                1 => Step { when, action: Action::Value { slot, kind } },
                _ => Step { when, action: Action::Vector { slot, kind, has_id: numbers.below(3) > 0 } },
            });
        }
        steps
    }

    /// Returns what a function with these steps does.
    fn perform(steps: &[Step]) -> Record {
        let mut record = Record::default();
        let mut values = 0;
        let mut words = Vec::new();
        for step in steps {
            let mut read = |record: &mut Record, kind| {
                record.events.push(Event::Read(kind));
                values += 1;
                values - 1
            };
            let mut arguments = Vec::new();
            if let Some(Condition { word, mask }) = step.when {
                record.events.push(Event::Test { word: words[usize::from(word)], mask });
            }
            match step.action {
                Action::Word(_) => words.push(read(&mut record, Kind::Int)),
                Action::Skip => drop(read(&mut record, Kind::Int)),
                Action::Flag { flag, .. } => {
                    record.events.push(Event::Flag { word: words[usize::from(flag.word)], mask: flag.mask });
                    arguments.push(Argument::Value(values));
                    values += 1;
                }
                Action::Value { kind, .. } => arguments.push(Argument::Value(read(&mut record, kind))),
                Action::Vector { kind, has_id, .. } => {
                    if has_id {
                        read(&mut record, Kind::Int);
                    }
                    let count = read(&mut record, Kind::Int);
                    record.events.push(Event::Range(count));
                    arguments.push(Argument::List(read(&mut record, kind)));
                }
            }
            for argument in arguments {
                record.arguments.push((format!("a{}", record.arguments.len()), argument));
            }
        }
        record
    }

    #[test]
    fn a_record_of_steps_has_these_steps() {
        let mut numbers = Numbers(7);
        for _ in 0..2000 {
            let expected = random_steps(&mut numbers);
            assert_eq!(steps(&perform(&expected)), Some(expected));
        }
    }

    #[test]
    fn any_record_is_parsed_or_refused() {
        let mut numbers = Numbers(11);
        for _ in 0..2000 {
            let mut record = perform(&random_steps(&mut numbers));
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(record.events.len());
                match numbers.below(3) {
                    0 => drop(record.events.remove(at)),
                    1 => record.events.insert(at, Event::Range(numbers.below(20))),
                    _ => record.events.swap(0, at),
                }
            }
            if let Some(steps) = steps(&record) {
                let variables = ["cls", "reader", "flags", "flags2"].map(str::to_owned);
                assert!(write(&steps, &record, &variables).is_none_or(|source| source.contains("return cls(")));
            }
        }
    }

    #[test]
    fn the_source_is_what_telethon_generates() {
        let record = Record {
            events: vec![
                Event::Read(Kind::Int),
                Event::Flag { word: 0, mask: 4 },
                Event::Read(Kind::Long),
                Event::Test { word: 0, mask: 8 },
                Event::Read(Kind::Int),
                Event::Read(Kind::Int),
                Event::Range(4),
                Event::Read(Kind::Text),
            ],
            arguments: vec![
                ("bot".to_owned(), Argument::Value(1)),
                ("id".to_owned(), Argument::Value(2)),
                ("names".to_owned(), Argument::List(5)),
            ],
        };
        let variables = ["cls", "reader", "flags", "_bot", "_id", "_names", "_", "_x"].map(str::to_owned);
        let source = steps(&record).and_then(|steps| write(&steps, &record, &variables)).unwrap_or_default();
        let expected = "\
def from_reader(cls, reader):
 flags = reader.read_int()
 _bot = bool(flags & 4)
 _id = reader.read_long()
 if flags & 8:
  reader.read_int()
  _names = []
  for _ in range(reader.read_int()):
   _x = reader.tgread_string()
   _names.append(_x)
 else:
  _names = None
 return cls(bot=_bot, id=_id, names=_names)
";
        assert_eq!(source, expected);
    }
}
