//! Recognises an `__init__` that only does `self.x = x` for each parameter.

use py_once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::code::compile;

/// More attributes than any constructor has. Fewer than 256, from where on an instruction's operand
/// takes more bytes.
const MAX_ATTRIBUTES: usize = 200;

/// What this Python compiles such an `__init__` to. Its instructions name parameters and attributes
/// by their numbers, so the code of a long one begins with the code of a shorter one.
pub(crate) struct InitShape {
    variants: [Variant; 2],
}

/// With or without a docstring.
struct Variant {
    /// The code for `MAX_ATTRIBUTES`.
    code: Vec<u8>,
    /// The instructions that return `None`.
    end: Vec<u8>,
    flags: u32,
    constants: usize,
}

impl InitShape {
    /// Compiles it.
    ///
    /// # Errors
    /// What compiling raises.
    pub(crate) fn compile(py: Python<'_>) -> PyResult<Self> {
        Ok(Self { variants: [Variant::compile(py, " 'text'\n")?, Variant::compile(py, "")?] })
    }

    /// Returns the parameters of a function if it sets the attributes of these names, in this order,
    /// and does nothing else.
    ///
    /// # Errors
    /// What reading the function's attributes raises.
    pub(crate) fn parameters<'py>(&self, function: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyString>>>> {
        let py = function.py();
        let code = function.getattr(intern!(py, "__code__"))?;
        let attribute = |name: &str| code.getattr(name);
        let names: Vec<Bound<'py, PyString>> = attribute("co_names")?.extract()?;
        let variables: Vec<Bound<'py, PyString>> = attribute("co_varnames")?.extract()?;
        let arguments: usize = attribute("co_argcount")?.extract()?;
        let [_, parameters @ ..] = &variables[..] else { return Ok(None) };
        if arguments != variables.len()
            || attribute("co_kwonlyargcount")?.extract::<usize>()? != 0
            || attribute("co_posonlyargcount")?.extract::<usize>()? != 0
            || !attribute("co_freevars")?.cast::<PyTuple>()?.is_empty()
            || !attribute("co_cellvars")?.cast::<PyTuple>()?.is_empty()
            || !PyTuple::new(py, &names)?.eq(PyTuple::new(py, parameters)?)?
        {
            return Ok(None);
        }
        let bytes = attribute("co_code")?;
        let bytes = bytes.cast::<PyBytes>()?.as_bytes();
        let flags: u32 = attribute("co_flags")?.extract()?;
        let constants = attribute("co_consts")?;
        let constants = constants.cast::<PyTuple>()?;
        for variant in &self.variants {
            if variant.flags == flags
                && variant.constants == constants.len()
                && constants.get_item(constants.len() - 1)?.is_none()
                && variant.is(bytes)
            {
                // As many attributes are set as there are names, because each name is used and each
                // statement uses the next one.
                return Ok(Some(names));
            }
        }
        Ok(None)
    }
}

impl Variant {
    fn compile(py: Python<'_>, docstring: &str) -> PyResult<Self> {
        let (code, flags, constants) = Self::code(py, MAX_ATTRIBUTES, docstring)?;
        let (short, ..) = Self::code(py, 1, docstring)?;
        let common = code.iter().zip(&short).take_while(|(one, other)| one == other).count();
        Ok(Self { code, end: short[common..].to_vec(), flags, constants })
    }

    fn code(py: Python<'_>, attributes: usize, docstring: &str) -> PyResult<(Vec<u8>, u32, usize)> {
        let parameters: Vec<_> = (0..attributes).map(|number| format!(", a{number}")).collect();
        let body: Vec<_> = (0..attributes).map(|number| format!(" self.a{number} = a{number}\n")).collect();
        let source = format!("def __init__(self{}):\n{docstring}{}", parameters.concat(), body.concat());
        let code = compile(py, &source)?;
        let bytes = code.getattr("co_code")?;
        let constants = code.getattr("co_consts")?;
        Ok((
            bytes.cast::<PyBytes>()?.as_bytes().to_vec(),
            code.getattr("co_flags")?.extract()?,
            constants.cast::<PyTuple>()?.len(),
        ))
    }

    fn is(&self, code: &[u8]) -> bool {
        code.strip_suffix(&self.end[..]).is_some_and(|body| self.code.starts_with(body))
    }
}
