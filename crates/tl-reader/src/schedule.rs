//! Which steps are taken, known as soon as the flags are, so that those that are not cost nothing.
//! Knows nothing of Python.

use crate::step::{Action, Step};

/// Steps, or slots, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(u128);

impl Bits {
    /// How many there can be.
    pub(crate) const MAX: usize = 128;

    #[inline]
    pub(crate) fn insert(&mut self, at: usize) {
        self.0 |= 1 << at;
    }

    #[inline]
    pub(crate) fn extend(&mut self, more: Self) {
        self.0 |= more.0;
    }

    /// Takes the first one out.
    #[inline]
    pub(crate) fn take_first(&mut self) -> Option<usize> {
        let at = self.0.trailing_zeros() as usize;
        self.0 &= self.0.checked_sub(1)?;
        Some(at)
    }
}

/// The steps of a class.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    steps: Box<[Step]>,
    always: Bits,
    /// For each flag word, the steps that each of its bits causes.
    caused: Box<[[Bits; 32]]>,
}

impl Schedule {
    /// Returns `None` if there are too many steps.
    pub(crate) fn new(steps: Vec<Step>) -> Option<Self> {
        if steps.len() > Bits::MAX {
            return None;
        }
        let mut always = Bits::default();
        let mut caused: Vec<[Bits; 32]> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if let Action::Word(_) = step.action {
                caused.push([Bits::default(); 32]);
            }
            let flag = match step.action {
                Action::Flag { flag, .. } => Some(flag),
                _ => step.when,
            };
            let Some(flag) = flag else {
                always.insert(at);
                continue;
            };
            for (bit, caused) in caused.get_mut(usize::from(flag.word))?.iter_mut().enumerate() {
                if flag.mask >> bit & 1 == 1 {
                    caused.insert(at);
                }
            }
        }
        Some(Self { steps: steps.into(), always, caused: caused.into() })
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the steps that are always taken.
    #[inline]
    pub(crate) fn always(&self) -> Bits {
        self.always
    }

    /// Returns the steps that a flag word causes, all of which come after it.
    #[inline]
    pub(crate) fn caused(&self, word: u8, flags: u32) -> Bits {
        let mut found = Bits::default();
        if let Some(caused) = self.caused.get(usize::from(word)) {
            let mut left = flags;
            while left != 0 {
                found.extend(caused[left.trailing_zeros() as usize]);
                left &= left - 1;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{Condition, Kind};

    const fn flag(word: u8, mask: u32) -> Condition {
        Condition { word, mask }
    }

    fn taken(schedule: &Schedule, flags: [u32; 2]) -> Vec<usize> {
        let mut due = schedule.always();
        let mut taken = Vec::new();
        while let Some(at) = due.take_first() {
            taken.push(at);
            if let Action::Word(word) = schedule.steps()[at].action {
                due.extend(schedule.caused(word, flags[usize::from(word)]));
            }
        }
        taken
    }

    #[test]
    fn a_flag_causes_its_steps() {
        let value = |slot, when| Step { when, action: Action::Value { slot, kind: Kind::Int } };
        let set = |slot, flag| Step { when: None, action: Action::Flag { slot, flag } };
        let word = |word| Step { when: None, action: Action::Word(word) };
        let steps = vec![
            word(0),
            set(0, flag(0, 1)),
            value(1, None),
            value(2, Some(flag(0, 1 << 31))),
            word(1),
            value(3, Some(flag(0, 1))),
            set(4, flag(1, 2)),
            value(5, Some(flag(1, 0b110))),
        ];
        let schedule = Schedule::new(steps).unwrap();
        assert_eq!(taken(&schedule, [0, 0]), [0, 2, 4]);
        assert_eq!(taken(&schedule, [1, 0]), [0, 1, 2, 4, 5]);
        assert_eq!(taken(&schedule, [1 << 31, 4]), [0, 2, 3, 4, 7]);
        assert_eq!(taken(&schedule, [u32::MAX; 2]), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn all_steps_have_a_bit() {
        let step = Step { when: None, action: Action::Skip };
        let schedule = Schedule::new(vec![step; Bits::MAX]).unwrap();
        assert_eq!(taken(&schedule, [0, 0]), (0..Bits::MAX).collect::<Vec<_>>());
        assert!(Schedule::new(vec![step; Bits::MAX + 1]).is_none());
        // A flag of a word that was not read.
        assert!(Schedule::new(vec![Step { when: Some(flag(0, 1)), action: Action::Skip }]).is_none());
    }
}
