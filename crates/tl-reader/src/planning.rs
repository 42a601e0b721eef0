//! Makes the plan of a class: what its `from_reader` reads, and how its objects are made.

use std::cell::Cell;

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyType};

use crate::code::{are_alike, compile};
use crate::events::Record;
use crate::init::InitShape;
use crate::make::{MAX_SHARED, Maker, call};
use crate::message;
use crate::own::is_function;
use crate::plan::{Make, Plan};
use crate::record::{NAMES, prepare, record};
use crate::schedule::{Bits, Schedule};
use crate::simple::{are_unclaimed, makes_plain_objects};
use crate::source::{steps, write};
use crate::step::{Action, Step};
use crate::watch::{Bases, Watch};

/// What plans are made with.
pub(crate) struct Planner {
    pub(crate) maker: Maker,
    init: InitShape,
    /// `telethon.tl.alltlobjects.tlobjects`: the class of each constructor.
    pub(crate) classes: Py<PyDict>,
}

/// Why a class is left to Python, and what would have to change for that to be different.
pub(crate) struct Unplanned {
    pub(crate) class: Py<PyType>,
    pub(crate) reason: String,
    pub(crate) watch: Watch,
}

/// What a `from_reader` does, and the keywords with which it calls the class.
type StepsAndNames = (Vec<Step>, Vec<String>);

impl Planner {
    /// # Errors
    /// If this Python cannot compile or make objects.
    pub(crate) fn new(py: Python<'_>, classes: Bound<'_, PyDict>) -> PyResult<Self> {
        prepare(py);
        Ok(Self { maker: Maker::new(py)?, init: InitShape::compile(py)?, classes: classes.unbind() })
    }

    /// Makes the plan of the class with this constructor ID.
    ///
    /// # Errors
    /// If the class cannot even be watched.
    pub(crate) fn plan(&self, class: &Bound<'_, PyType>, id: &Bound<'_, PyAny>) -> PyResult<Result<Plan, Unplanned>> {
        let py = class.py();
        let bases = Bases::of(class)?;
        let watch = self.watch(&bases, id)?;
        let unplanned = |reason: String, watch| Ok(Err(Unplanned { class: class.clone().unbind(), reason, watch }));
        let (steps, names) = match self.read_function(class) {
            Ok(Ok(found)) => found,
            Ok(Err(reason)) => return unplanned(reason.to_owned(), watch),
            Err(error) => {
                return unplanned(format!("its `from_reader` was not understood: {}", error.value(py)), watch);
            }
        };
        let is_flag = flags(&steps, names.len());
        let schedule = Schedule::new(steps).filter(|_| names.len() <= Bits::MAX);
        let Some(schedule) = schedule else {
            return unplanned("it has too many fields".to_owned(), watch);
        };
        let mut plan = Plan {
            class: class.clone().unbind(),
            is_flag,
            schedule,
            names: names.iter().map(|name| PyString::intern(py, name).unbind()).collect(),
            make: Make::Call,
            is_provisional: true,
            watch,
            checked_in: Cell::new(0),
        };
        // A large class takes so long that the rest waits for its next use.
        if plan.names.len() <= MAX_SHARED {
            self.settle(&mut plan, &bases);
        }
        Ok(Ok(plan))
    }

    /// Returns a plan that knows how to make objects, where the first one does not yet.
    ///
    /// # Errors
    /// If the class cannot be watched.
    pub(crate) fn settled(&self, provisional: &Plan, id: &Bound<'_, PyAny>) -> PyResult<Plan> {
        let py = id.py();
        let class = provisional.class.bind(py);
        let bases = Bases::of(class)?;
        let mut plan = Plan {
            class: class.clone().unbind(),
            schedule: provisional.schedule.clone(),
            names: provisional.names.iter().map(|name| name.clone_ref(py)).collect(),
            is_flag: provisional.is_flag.clone(),
            make: Make::Call,
            is_provisional: true,
            watch: self.watch(&bases, id)?,
            checked_in: Cell::new(0),
        };
        self.settle(&mut plan, &bases);
        Ok(plan)
    }

    /// Chooses how objects are made. A class that is made in another way, or cannot be tried, is
    /// called.
    fn settle(&self, plan: &mut Plan, bases: &Bases<'_>) {
        plan.is_provisional = false;
        if self.choose_make(plan, bases).is_err() {
            plan.make = Make::Call;
        }
    }

    fn watch(&self, bases: &Bases<'_>, id: &Bound<'_, PyAny>) -> PyResult<Watch> {
        let py = id.py();
        let mut watch = Watch::default();
        watch.entry(self.classes.bind(py), id)?;
        watch.sizes(bases);
        watch.attribute(bases, intern!(py, "from_reader"))?;
        watch.attribute(bases, intern!(py, "__init__"))?;
        Ok(watch)
    }

    /// Returns the steps and arguments of a class's `from_reader`, or why they are not known.
    fn read_function(&self, class: &Bound<'_, PyType>) -> PyResult<Result<StepsAndNames, &'static str>> {
        let py = class.py();
        let bound = class.getattr(intern!(py, "from_reader"))?;
        let Some(function) = bound.getattr_opt(intern!(py, "__func__"))? else {
            return Ok(Err("its `from_reader` is not a class method"));
        };
        if !bound.getattr(intern!(py, "__self__"))?.is(class) || !is_plain(&function)? {
            return Ok(Err("its `from_reader` is not a plain function"));
        }
        let code = function.getattr(intern!(py, "__code__"))?;
        let used: Vec<String> = code.getattr(intern!(py, "co_names"))?.extract()?;
        if !used.iter().all(|name| NAMES.contains(&&**name)) {
            return Ok(Err("its `from_reader` does more than Telethon's generated ones"));
        }
        let record = record(py, &code)?;
        let variables: Vec<String> = code.getattr(intern!(py, "co_varnames"))?.extract()?;
        let found = steps(&record).and_then(|steps| Some((write(&steps, &record, &variables)?, steps)));
        let Some((source, mut steps)) = found else {
            return Ok(Err("its `from_reader` is not one that Telethon generates"));
        };
        if !are_alike(&compile(py, &source)?, &code)? {
            return Ok(Err("its `from_reader` is not exactly one that Telethon generates"));
        }
        let names = self.reorder(class, &mut steps, &record)?;
        Ok(Ok((steps, names)))
    }

    /// Returns the arguments in the order in which `__init__` sets attributes, if it only does that,
    /// and renumbers the slots.
    fn reorder(&self, class: &Bound<'_, PyType>, steps: &mut [Step], record: &Record) -> PyResult<Vec<String>> {
        let mut names: Vec<String> = record.arguments.iter().map(|(name, _)| name.clone()).collect();
        let Some(order) = self.init.attributes(class)? else { return Ok(names) };
        let place = |name: &String| order.iter().position(|each| each == name);
        let places: Option<Vec<usize>> = names.iter().map(place).collect();
        let Some(places) = places.filter(|places| places.len() == order.len()) else { return Ok(names) };
        for step in steps {
            match &mut step.action {
                Action::Flag { slot, .. } | Action::Value { slot, .. } | Action::Vector { slot, .. } => {
                    *slot = u16::try_from(places[usize::from(*slot)])?;
                }
                Action::Word(_) | Action::Skip => {}
            }
        }
        names = order;
        Ok(names)
    }

    /// Chooses how objects are made, if that need not be by calling their class.
    fn choose_make(&self, plan: &mut Plan, bases: &Bases<'_>) -> PyResult<()> {
        let py = bases.py();
        let class = &plan.class.bind(py).clone();
        if !makes_plain_objects(class, bases)? {
            return Ok(());
        }
        let names: Vec<String> = plan.names.iter().map(|name| name.extract(py)).collect::<PyResult<_>>()?;
        if self.init.attributes(class)?.is_none_or(|attributes| attributes != names) {
            return message::learn(py, &self.init, &self.maker, plan, bases);
        }
        if !are_unclaimed(bases, plan.names.iter().map(|name| name.bind(py).clone()))? {
            return Ok(());
        }
        if names.len() <= MAX_SHARED || self.maker.adoption.is_none() {
            plan.make = Make::Attributes;
            return Ok(());
        }
        let object = call(py, plan, &vec![None; names.len()])?;
        let template = object.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?.copy()?;
        plan.make = Make::Dictionary(template.unbind());
        Ok(())
    }
}

fn flags(steps: &[Step], slots: usize) -> Box<[bool]> {
    let mut flags = vec![false; slots];
    for step in steps {
        if let Action::Flag { slot, .. } = step.action {
            flags[usize::from(slot)] = true;
        }
    }
    flags.into()
}

/// Returns `true` if a function has neither defaults nor a closure, and `bool` and `range` in it are
/// Python's.
fn is_plain(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = function.py();
    if !is_function(function)? {
        return Ok(false);
    }
    for name in ["__defaults__", "__kwdefaults__", "__closure__"] {
        if !function.getattr(name)?.is_none() {
            return Ok(false);
        }
    }
    let globals = function.getattr(intern!(py, "__globals__"))?;
    let builtins = py.import(intern!(py, "builtins"))?;
    for name in ["bool", "range"] {
        if globals.contains(name)? {
            return Ok(false);
        }
    }
    Ok(builtins.getattr(intern!(py, "bool"))?.is(py.get_type::<PyBool>()))
}
