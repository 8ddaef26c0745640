"""
The same order on what else carries sagas: five steps that do nothing, the second and third side by side, and one
order in ten refused at the fourth, whose second and third are then undone.

    lines         what all of them share: who fails, and the lines that tell what was submitted and what ended
    celery_app    a plain chain with a chord, which celery_producer submits
    dbos_app      a workflow of steps in the process that takes it
    restate_app   a handler whose steps are journaled by Restate's server
    environment   what they need, installed into .venv-bench and nowhere else
    peer          how the bench starts, feeds and kills them
"""
