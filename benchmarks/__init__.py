"""
The bench, and measurements of their own.

    run         the bench: `make bench`           parts/    what it measures, a module each
    check       `make bench-check`                peers/    the same order on what else carries sagas
    ground      a platform of its own for a part  noop/     our platform with steps that do nothing
    sending     orders, and how they fared        hammer    any other requests
    open_loop   orders in overload                wrk       other people's load generator
    bare/       our API without its door
    stores      servers alone, for what needs no platform
    cpu         of process families               machine   what it was measured on
    figures     numbers from numbers              cost      of an order, at the prices in prices.json
    targets     what is promised, held or missed
    pages, svg  what a part tells                 performance  writes docs/performance.md
    blocks      figures inside other pages of docs/

The other modules are scripts that say what they measure.
"""
