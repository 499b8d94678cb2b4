//! `entry!`: says which function a program starts with.

/// Says which function the program starts with: `fn main(startup: Startup<'static>) -> impl Termination`.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
/// libipc::entry!(main);
/// fn main(startup: libipc::Startup<'static>) -> i32 {
///     libipc::println!("hello, {}", startup.arg(1).unwrap_or("world"));
///     0
/// }
/// ```
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        fn tessera_main(startup: $crate::Startup<'static>) -> i32 {
            $crate::Termination::report($main(startup), startup.program())
        }
    };
}

/// Ends the program, after what it has printed has gone out.
pub fn exit(status: i32) -> ! {
    let failed = crate::print::take_error().is_some();
    crate::sys::exit(if failed && status == 0 { 1 } else { status })
}
