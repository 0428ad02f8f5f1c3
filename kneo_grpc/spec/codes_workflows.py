"""Codes about workflows and people: (what it means, how to mend it)."""

WORKFLOWS: dict[str, tuple[str, str]] = {
    "E_STEP_AGENT_REF": (
        "A step refers to an agent that is neither under `components.agents` nor the root agent.",
        "Declare the agent, or correct the name.",
    ),
    "E_STEP_FUNCTION_REF": (
        "A step refers to a function that `components.functions` does not have.",
        "Declare the function, or correct the name.",
    ),
    "E_STEP_HUMAN_REF": (
        "A step refers to a person that `components.humans` does not have.",
        "Declare the person, or correct the name.",
    ),
    "E_STEP_WORKFLOW_REF": (
        "A step refers to a workflow that `components.workflows` does not have.",
        "Declare the workflow, or correct the name.",
    ),
    "E_STEP_GUARDRAIL_REF": (
        "A guardrail step refers to an agent that does not exist.",
        "Declare the agent under `components.agents`, or correct the name.",
    ),
    "E_STEP_WORKFLOW_SELF_REF": (
        "A workflow has itself as a step.",
        "Use a graph with an edge back for a loop.",
    ),
    "E_BUILD_CYCLE": (
        "A workflow or agent is, by way of others, made of itself.",
        "Break the ring at the place it names.",
    ),
    "E_STEP_DUPLICATE_ID": ("Two steps of a sequence have the same id.", "Rename one."),
    "E_STEP_FALLBACK_REF": (
        "`on_error` is `fallback`, and `fallback_ref` is missing.",
        "Name the step that takes over.",
    ),
    "E_STEP_FALLBACK_UNKNOWN": (
        "`fallback_ref` is not a step of this workflow.",
        "Correct the name.",
    ),
    "E_STEP_FALLBACK_HUMAN": (
        "The step that takes over asks a person.",
        "Let another step take over, and ask the person in a step of its own.",
    ),
    "E_STEP_FALLBACK_CYCLE": (
        "The steps that take over from each other form a ring.",
        "Let the last one fail.",
    ),
    "W_STEP_FALLBACK_DISABLED": ("The step that takes over is disabled.", "Enable it."),
    "E_STEP_GOTO_REF": (
        "`on_reject` is `goto`, and `goto_ref` is missing.",
        "Name the step to go to.",
    ),
    "E_STEP_GOTO_UNKNOWN": (
        "`goto_ref` is not a step of this workflow, or is disabled.",
        "Correct the name, or enable the step.",
    ),
    "E_GRAPH_START": (
        "The graph has no node to start with.",
        "Name one of its nodes as `start`.",
    ),
    "E_GRAPH_START_UNKNOWN": (
        "`start` is not a node of the graph; stands beside E_GRAPH_START and suggests a name.",
        "Correct the name.",
    ),
    "E_GRAPH_START_DISABLED": (
        "The node that the graph starts with is disabled.",
        "Enable it, or start elsewhere.",
    ),
    "E_GRAPH_MAX_STEPS": ("`max_steps` is below 1.", "Leave it out for 50."),
    "E_GRAPH_EDGE_FROM": ("An edge leaves a node that does not exist.", "Correct the name."),
    "E_GRAPH_EDGE_TO": ("An edge leads to a node that does not exist.", "Correct the name."),
    "E_GRAPH_NODE_FALLBACK_REF": (
        "`on_error` is `fallback`, and `fallback_ref` is missing.",
        "Name the node that takes over.",
    ),
    "E_GRAPH_NODE_FALLBACK_UNKNOWN": (
        "`fallback_ref` is not a node of this graph.",
        "Correct the name.",
    ),
    "E_GRAPH_NODE_FALLBACK_DISABLED": ("The node that takes over is disabled.", "Enable it."),
    "E_GRAPH_FALLBACK_HUMAN": (
        "The node that takes over asks a person.",
        "Let another node take over, and ask the person in a node of its own.",
    ),
    "W_GRAPH_NODE_ID_MISMATCH": (
        "A node's `id` is not the name it stands under; the name counts.",
        "Write the same twice.",
    ),
    "W_GRAPH_NODE_UNREACHABLE": (
        "No way leads from the start to this node.",
        "Add an edge, or remove the node.",
    ),
    "W_GRAPH_FAN_OUT_SINGLE": (
        "A node fans out, and fewer than two edges leave it.",
        "Add edges, or remove `fan_out`.",
    ),
    "W_GRAPH_JOIN_UNUSED": (
        "A node joins branches, and no node of the graph fans out.",
        "Set `fan_out` where the branches part, or remove `join`.",
    ),
    "E_CONDITION_VALUE": ("A condition has nothing to compare with.", "Give it a `value`."),
    "E_CONDITION_KEY": ("A condition does not say which entry it looks at.", "Give it a `key`."),
    "E_CONDITION_CHILDREN": (
        "`all_of` or `any_of` has no conditions.",
        "Give it `conditions`.",
    ),
    "E_CONDITION_CHILD": ("`not` has no condition.", "Give it a `condition`."),
    "E_PARTICIPANT_DUPLICATE_ID": ("Two participants have the same id.", "Rename one."),
    "E_PARTICIPANT_FALLBACK_UNSUPPORTED": (
        "A participant has a fallback; there is no order in which it could take over.",
        "Use `retry` or `continue`, or a nested sequence with a fallback.",
    ),
    "E_PARTICIPANT_GOTO_UNSUPPORTED": (
        "A participant goes elsewhere after a rejection; there is no order to go in.",
        "Use `continue` or `fail`, or a nested sequence.",
    ),
    "E_HANDOFF_SELECTOR_REF": (
        "The sequence of a selector names somebody who is no participant.",
        "Correct the name.",
    ),
    "E_SELECTOR_AGENT_REF": (
        "The agent that chooses who comes next is missing or unknown.",
        "Name one of `components.agents` as `ref`.",
    ),
    "E_GROUP_CHAT_ROUNDS": ("`rounds` is below 1.", "Leave it out for one round."),
}

PEOPLE: dict[str, tuple[str, str]] = {
    "E_HUMAN_SELECTION_REQUIRES_OPTIONS": (
        "A selection is asked for, and there is nothing to select.",
        "Give it `options`.",
    ),
    "E_HUMAN_DEFAULT_OPTION_NOT_IN_OPTIONS": (
        "`default_option` is not one of `options`.",
        "Add it to the options, or correct it.",
    ),
    "E_HUMAN_DEFAULT_OPTION_REQUIRED": (
        "The default is to be taken when the time is up, and there is none.",
        "Give it a `default_option`.",
    ),
    "W_HUMAN_RESPONSE_ROLE_SYSTEM": (
        "A person's answer gets the weight of the system prompt.",
        "Use `user`, unless only trusted people answer.",
    ),
    "W_HUMAN_APPROVAL_MISSING": (
        "Tools with wide permissions run, and nobody is asked.",
        "Add a step of kind `human`, or narrow the permissions.",
    ),
    "I_HUMAN_REVIEW_CONFIGURED": (
        "People are asked although nothing else requires it; stands in policy reports.",
        "Nothing is wrong.",
    ),
    "E_STEP_WORKFLOW_NESTED_HUMAN": (
        "A person would be asked in the middle of a call: by an agent that is a tool, a guardrail, "
        "a selector or a memory's helper. Such calls cannot wait.",
        "Ask the person in a step of a workflow; there it works at any depth.",
    ),
}
