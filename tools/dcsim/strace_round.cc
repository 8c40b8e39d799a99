// SPDX-License-Identifier: GPL-2.0-only
//
// A success tells that its path was there, unless the trace made it. A failure tells as much when
// only something that is there can fail so. That a path was not found tells nothing that would have
// to be remembered.
#include "strace_round.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dcsim::cli
{

namespace
{

/// How far down the end of an overlapping call is looked for, and how many are put before one.
constexpr size_t furthest = 1000;
constexpr unsigned most_pulled = 8;
constexpr const char *unseen_child = ".unseen";
constexpr const char *nowhere = "nothing tells where its descriptor leads (record with -y)";
constexpr const char *no_path_behind =
    "its descriptor leads to a pipe, a socket or another file without a path";
constexpr const char *outside_descriptor = "its descriptor leads out of the tree";

bool is_absolute(std::string_view path)
{
    return path.starts_with('/');
}

bool writes(const traced_operation &operation)
{
    return (operation.flags & O_ACCMODE) != O_RDONLY;
}

/// Bytes that strace did not show: as many as there were.
std::string filled_up(std::string text, int64_t length)
{
    if (static_cast<int64_t>(text.size()) < length)
        text.append(static_cast<size_t>(length) - text.size(), '?');
    return text;
}

} // namespace

trace_round::trace_round(const strace_trace &trace, const tree_request &request,
                         round_knowledge &knowledge)
    : trace_(trace), rebuilding_(request.source == tree_source::trace), knowledge_(knowledge),
      tree_(request, knowledge.links), events_(trace.events)
{
    skipped_.resize(trace.operations.size());
    outside_.type = S_IFDIR;
    for (const std::string &directory : request.directories)
        if (plain_node *node = ensure(directory); node && node != &outside_)
            tree_.read_whole(node);
}

bool trace_round::run()
{
    for (size_t index = 0; index < events_.size(); ++index) {
        unsigned pulled = 0;
        while (pulled < most_pulled && pull_forward(index))
            pulled++;
        const trace_event event = events_[index];
        if (event.kind == trace_event_kind::start)
            begin(event);
        else if (event.kind == trace_event_kind::end)
            processes_.erase(event.process);
        else
            carry_out(trace_.operations[event.operation], skipped_[event.operation]);
    }
    return learned_;
}

// --- The order of calls that overlapped -------------------------------------------------------

/// What must be so for the answer that was given.
trace_round::condition trace_round::condition_of(const traced_operation &operation)
{
    using enum path_operation;
    const bool makes = operation.kind == mkdir || operation.kind == mknod ||
                       operation.kind == symlink ||
                       (operation.kind == open && operation.flags & O_CREAT);
    const bool second = operation.kind == link && operation.error == EEXIST;
    bool present = operation.succeeded() != makes;

    if (operation.skipped || !operation.at.named)
        return {};
    if (operation.error == EEXIST)
        present = true;
    else if (operation.error == ENOENT && !makes)
        present = false;
    else if (!operation.succeeded())
        return {};
    else if (operation.kind == open && makes && !(operation.flags & O_EXCL))
        return {};
    const plain_walk walked = walk(second ? operation.to : operation.at, operation.follow, false);
    if (!walked.last || !walked.parent || walked.result == plain_result::outside)
        return {};
    return {walked.parent, walked.name, present};
}

/// Does a successful call make, or remove, the name as wanted?
bool trace_round::brings(const traced_operation &operation, const condition &wanted)
{
    using enum path_operation;
    const traced_path *path = &operation.at;

    if (operation.skipped || !operation.succeeded())
        return false;
    switch (operation.kind) {
    case open:
        if (!(operation.flags & O_CREAT) || !wanted.present)
            return false;
        break;
    case mkdir:
    case mknod:
    case symlink:
        if (!wanted.present)
            return false;
        break;
    case unlink:
    case rmdir:
        if (wanted.present)
            return false;
        break;
    case link:
        if (!wanted.present)
            return false;
        path = &operation.to;
        break;
    case rename:
        if (wanted.present)
            path = &operation.to;
        break;
    default:
        return false;
    }
    const plain_walk walked = walk(*path, false, false);
    return walked.last && walked.parent == wanted.parent && walked.name == wanted.name;
}

/// False only if it is known not to be so.
bool trace_round::holds(const condition &wanted)
{
    if (!wanted.parent)
        return true;
    const auto found = wanted.parent->children.find(wanted.name);
    if (found == wanted.parent->children.end())
        return wanted.parent->first || !wanted.present;
    return (found->second != nullptr) == wanted.present;
}

/// If the answer of the call at `index` cannot be, and a call that was under way makes it possible,
/// puts that one in its place.
bool trace_round::pull_forward(size_t index)
{
    if (events_[index].kind != trace_event_kind::call)
        return false;
    const traced_operation &operation = trace_.operations[events_[index].operation];
    actor_ = &processes_[operation.process];
    const condition wanted = condition_of(operation);
    if (holds(wanted))
        return false;
    for (size_t other = index + 1; other < std::min(events_.size(), index + furthest); ++other) {
        if (events_[other].kind != trace_event_kind::call)
            continue;
        const traced_operation &later = trace_.operations[events_[other].operation];
        const auto actor = processes_.find(later.process);
        if (later.process == operation.process || later.begun > operation.line ||
            actor == processes_.end())
            continue;
        actor_ = &actor->second;
        if (!brings(later, wanted))
            continue;
        const auto begin = events_.begin() + static_cast<std::ptrdiff_t>(index);
        const auto end = events_.begin() + static_cast<std::ptrdiff_t>(other);
        std::rotate(begin, end, end + 1);
        reordered_++;
        return true;
    }
    return false;
}

// --- Processes --------------------------------------------------------------------------------

void trace_round::begin(const trace_event &event)
{
    process fresh;

    if (event.parent == event.process) {
        plain_node *start = ensure(knowledge_.working_directory);
        if (start && rebuilding_ && start->type == 0)
            start->type = S_IFDIR;
        fresh.at =
            std::make_shared<directories>(directories{tree_.root(), start ? start : tree_.root()});
        fresh.files = std::make_shared<descriptors>();
    } else {
        fresh = processes_[event.parent];
        if (!event.share_directories)
            fresh.at = std::make_shared<directories>(*fresh.at);
        if (!event.share_files)
            fresh.files = std::make_shared<descriptors>(*fresh.files);
    }
    processes_[event.process] = std::move(fresh);
}

void trace_round::carry_out(const traced_operation &operation, const char *&skipped)
{
    actor_ = &processes_[operation.process];
    skipped = operation.skipped;
    if (operation.kind == path_operation::close) {
        actor_->files->erase(operation.at.descriptor);
        return;
    }
    if (!skipped)
        skipped = why_outside(operation, operation.at);
    if (!skipped && (operation.to.named && operation.kind != path_operation::symlink))
        skipped = why_outside(operation, operation.to);
    if (skipped) {
        if (operation.kind == path_operation::open && operation.succeeded() && operation.value >= 0)
            (*actor_->files)[operation.value] = &outside_;
        return;
    }
    if (operation.succeeded())
        succeeded(operation);
    else if (rebuilding_)
        failed(operation);
}

/// Why a path cannot be walked here, or nullptr. Its descriptor is looked at in passing.
const char *trace_round::why_outside(const traced_operation &operation, const traced_path &path)
{
    const char *reason = nullptr;

    switch (operation.kind) {
    case path_operation::duplicate:
    case path_operation::umask:
    case path_operation::getcwd:
    case path_operation::new_process:
        return nullptr;
    default:
        break;
    }
    if (!is_absolute(path.name)) {
        const plain_node *start = start_of(path, &reason);
        // A descriptor that is not open is refused by whoever is asked.
        if (!start)
            return operation.error == EBADF ? nullptr : reason;
        if (start == &outside_)
            return outside_descriptor;
    }
    if (!path.named)
        return nullptr;
    const plain_walk walked = walk(path, operation.follow, false);
    return walked.result == plain_result::outside ? walked.reason : nullptr;
}

// --- Paths ------------------------------------------------------------------------------------

/// What is at a path that -y showed, so that there is no link in it.
plain_node *trace_round::ensure(std::string_view path)
{
    const plain_walk walked = tree_.walk(tree_.root(), tree_.root(), path, true, rebuilding_);

    if (walked.result == plain_result::outside)
        return &outside_;
    if (walked.result == plain_result::unknown && walked.last && rebuilding_)
        return tree_.add_first(walked.parent, walked.name, 0);
    return walked.result == plain_result::found ? walked.node : nullptr;
}

/// Where a relative path begins, or nullptr and the reason why nobody knows.
plain_node *trace_round::start_of(const traced_path &path, const char **reason)
{
    plain_node *node = nullptr;

    if (path.descriptor == at_working_directory) {
        node = actor_->at->working;
        if (is_absolute(path.place) && plain_tree::path_of(node) != path.place)
            if (plain_node *told = ensure(path.place))
                node = actor_->at->working = told;
        return node;
    }
    if (!path.place.empty() && !is_absolute(path.place)) {
        *reason = no_path_behind;
        return nullptr;
    }
    if (const auto found = actor_->files->find(path.descriptor); found != actor_->files->end())
        node = found->second;
    if (!path.place.empty() && node != &outside_ &&
        (!node || plain_tree::path_of(node) != path.place))
        if (plain_node *told = ensure(path.place))
            node = (*actor_->files)[path.descriptor] = told;
    if (!node)
        *reason = nowhere;
    return node;
}

plain_walk trace_round::walk(const traced_path &path, bool follow, bool make)
{
    const char *reason = nullptr;
    plain_node *start = is_absolute(path.name) ? actor_->at->root : start_of(path, &reason);
    plain_walk walked;

    // A descriptor alone, or the empty name of AT_EMPTY_PATH.
    if (path.name.empty()) {
        walked.result = start ? plain_result::found : plain_result::absent;
        walked.node = start;
        return walked;
    }
    return start ? tree_.walk(start, actor_->at->root, path.name, follow, make) : walked;
}

/// The node at a path that must have been there. nullptr when that contradicts what is known.
plain_node *trace_round::need(const traced_path &path, bool follow, unsigned type)
{
    const plain_walk walked = walk(path, follow, rebuilding_);

    if (walked.result == plain_result::unknown && walked.last && rebuilding_)
        return tree_.add_first(walked.parent, walked.name, type);
    if (walked.result != plain_result::found)
        return nullptr;
    if (walked.node->type == 0)
        walked.node->type = type;
    return walked.node;
}

void trace_round::learn_link(const std::string &path, const std::string &body, bool certain)
{
    const auto known = knowledge_.links.find(path);

    if (!rebuilding_ || body.empty() || knowledge_.no_links.contains(path))
        return;
    if (known != knowledge_.links.end() && (known->second.certain || !certain))
        return;
    knowledge_.links[path] = {body, certain};
    learned_ = true;
}

/// Something that is surely no link; a conclusion to the contrary is taken back.
void trace_round::learn_no_link(const plain_node *node)
{
    if (!rebuilding_ || !node || !node->first)
        return;
    const auto known = knowledge_.links.find(node->first_path);
    if (known != knowledge_.links.end() && known->second.certain)
        return;
    knowledge_.no_links.insert(node->first_path);
    if (known == knowledge_.links.end())
        return;
    knowledge_.links.erase(known);
    learned_ = true;
}

/// -y tells where an open or a chdir arrived. If that is not where the walk arrived, there was a
/// link on the way: as far up as the two paths end alike, and no real directory is in the way.
plain_node *trace_round::arrived(plain_node *node, const std::string &place)
{
    if (!is_absolute(place) || !node || node == &outside_)
        return node;
    const std::string walked = plain_tree::path_of(node);
    if (walked == place || walked.empty())
        return node;
    size_t from = walked.size();
    size_t to = place.size();
    size_t link_end = 0;
    size_t target_end = 0;
    while (from > 0 && to > 0) {
        const std::string path = walked.substr(0, from);
        if (!knowledge_.no_links.contains(path) && !place.starts_with(path + "/")) {
            link_end = from;
            target_end = to;
        }
        const size_t from_slash = walked.rfind('/', from - 1);
        const size_t to_slash = place.rfind('/', to - 1);
        if (walked.substr(from_slash, from - from_slash) != place.substr(to_slash, to - to_slash))
            break;
        from = from_slash;
        to = to_slash;
    }
    if (link_end > 0)
        learn_link(walked.substr(0, link_end), place.substr(0, target_end), false);
    plain_node *there = ensure(place);
    return there ? there : node;
}

// --- Successes --------------------------------------------------------------------------------

void trace_round::succeeded(const traced_operation &operation)
{
    using enum path_operation;

    switch (operation.kind) {
    case open:
        return opened(operation);
    case stat:
    case access:
    case execute:
    case chmod:
    case chown:
        return looked_up(operation);
    case readlink:
        return link_was_read(operation);
    case mkdir:
        return made(operation.at, S_IFDIR, "");
    case mknod:
        return made(operation.at, operation.mode & S_IFMT ? operation.mode & S_IFMT : S_IFREG, "");
    case symlink:
        return made(operation.at, S_IFLNK, operation.to.name);
    case unlink:
        return removed(operation, 0);
    case rmdir:
        return removed(operation, S_IFDIR);
    case link:
        return linked(operation);
    case rename:
        return renamed(operation);
    case chdir:
    case fchdir:
        if (plain_node *node = need(operation.at, true, S_IFDIR))
            actor_->at->working = node;
        return;
    case chroot:
        if (plain_node *node = need(operation.at, true, S_IFDIR))
            actor_->at->root = node;
        return;
    case getcwd:
        return told_working_directory(operation);
    case list:
        return listed(operation);
    case duplicate:
        return duplicated(operation);
    default:
        return;
    }
}

void trace_round::opened(const traced_operation &operation)
{
    const bool nameless = (operation.flags & O_TMPFILE) == O_TMPFILE;
    plain_node *node =
        operation.flags & O_CREAT && !nameless
            ? opened_or_created(operation)
            : need(operation.at, operation.follow, operation.flags & O_DIRECTORY ? S_IFDIR : 0);

    (*actor_->files)[operation.value] = nameless ? nullptr : arrived(node, operation.place);
}

/// With O_CREAT, nothing tells whether the file was there. It is taken to be new until something
/// shows that it cannot be.
plain_node *trace_round::opened_or_created(const traced_operation &operation)
{
    const plain_walk walked = walk(operation.at, operation.follow, rebuilding_);

    if (walked.result == plain_result::found)
        return walked.node;
    if (!walked.last || !walked.parent)
        return nullptr;
    if (walked.result != plain_result::unknown && walked.result != plain_result::absent)
        return nullptr;
    if (walked.result == plain_result::absent || operation.flags & O_EXCL)
        return tree_.add_new(walked.parent, walked.name, S_IFREG);
    std::string path = plain_tree::first_path_of(walked.parent, walked.name);
    if (knowledge_.existed.contains(path))
        return tree_.add_first(walked.parent, walked.name, 0);
    plain_node *node = tree_.add_new(walked.parent, walked.name, S_IFREG);
    node->maybe_first_path = std::move(path);
    return node;
}

void trace_round::looked_up(const traced_operation &operation)
{
    plain_node *node = need(operation.at, operation.follow, operation.type);

    if (!node || node == &outside_)
        return;
    // No open makes anything but regular files.
    if (operation.type && operation.type != S_IFREG && !node->maybe_first_path.empty() &&
        knowledge_.existed.insert(node->maybe_first_path).second)
        learned_ = true;
    if (operation.type && operation.type != S_IFLNK && !operation.follow)
        learn_no_link(node);
    if (operation.type == S_IFLNK && node->first && node->body.empty())
        learn_link(node->first_path, unseen_targets + node->first_path, false);
    if (operation.type && node->type == operation.type && node->first && !node->changed &&
        !node->permissions_known) {
        node->permissions = operation.permissions;
        node->permissions_known = true;
    }
    if (operation.kind == path_operation::chmod || operation.kind == path_operation::chown)
        node->changed = true;
    if (operation.kind == path_operation::execute ||
        (operation.kind == path_operation::access && operation.mode & X_OK))
        node->executable = true;
}

void trace_round::link_was_read(const traced_operation &operation)
{
    const plain_walk walked = walk(operation.at, false, rebuilding_);
    const std::string body = filled_up(operation.text, operation.value);
    plain_node *node = walked.node;

    if (walked.result == plain_result::unknown && walked.last && rebuilding_)
        node = tree_.add_first(walked.parent, walked.name, S_IFLNK);
    if (!node || !node->first || (node->type == S_IFLNK && node->body == body))
        return;
    learn_link(node->first_path, body, true);
}

void trace_round::made(const traced_path &path, unsigned type, const std::string &body)
{
    const plain_walk walked = walk(path, false, rebuilding_);

    if (!walked.parent || !walked.last || walked.result == plain_result::outside)
        return;
    tree_.add_new(walked.parent, walked.name, type)->body = body;
}

void trace_round::linked(const traced_operation &operation)
{
    plain_node *node = need(operation.at, operation.follow, 0);
    const plain_walk walked = walk(operation.to, false, rebuilding_);

    if (!node || !walked.parent || !walked.last)
        return;
    walked.parent->children[walked.name] = node;
    // Its name is whichever is left.
    if (!node->parent) {
        node->parent = walked.parent;
        node->name = walked.name;
    }
}

void trace_round::removed(const traced_operation &operation, unsigned type)
{
    plain_node *node = need(operation.at, false, type);
    const plain_walk walked = walk(operation.at, false, rebuilding_);

    if (!node || !walked.parent || walked.node != node)
        return;
    tree_.remove(walked.parent, walked.name);
}

void trace_round::renamed(const traced_operation &operation)
{
    plain_node *node = need(operation.at, false, 0);
    plain_node *other = operation.flags & RENAME_EXCHANGE ? need(operation.to, false, 0) : nullptr;
    const plain_walk from = walk(operation.at, false, rebuilding_);
    const plain_walk to = walk(operation.to, false, rebuilding_);

    if (!node || !from.parent || !to.parent || !from.last || !to.last || to.node == node)
        return;
    tree_.remove(from.parent, from.name);
    tree_.put(to.parent, to.name, node);
    if (other)
        tree_.put(from.parent, from.name, other);
}

void trace_round::listed(const traced_operation &operation)
{
    if (const auto found = actor_->files->find(operation.at.descriptor);
        found != actor_->files->end() && found->second && found->second->type == 0)
        found->second->type = S_IFDIR;
}

void trace_round::told_working_directory(const traced_operation &operation)
{
    if (operation.text_cut || !is_absolute(operation.text))
        return;
    actor_->at->working = arrived(actor_->at->working, operation.text);
}

void trace_round::duplicated(const traced_operation &operation)
{
    descriptors &files = *actor_->files;
    const auto found = files.find(operation.at.descriptor);

    if (found == files.end())
        files.erase(operation.value);
    else
        files[operation.value] = found->second;
}

// --- Failures ---------------------------------------------------------------------------------

void trace_round::failed(const traced_operation &operation)
{
    switch (operation.error) {
    case EEXIST:
        return existed(operation);
    case EISDIR:
        need(operation.kind == path_operation::rename ? operation.to : operation.at, true, S_IFDIR);
        return;
    case ENOTDIR:
        return was_no_directory(operation);
    case ENOTEMPTY:
        return was_not_empty(operation);
    case ELOOP:
        return led_in_a_circle(operation);
    case ENOENT:
        return was_not_found(operation);
    case EINVAL:
        if (operation.kind == path_operation::readlink)
            learn_no_link(need(operation.at, false, 0));
        else if (operation.kind == path_operation::rename)
            need(operation.at, false, 0);
        return;
    case EACCES:
    case EPERM:
        return refused(operation);
    default:
        return;
    }
}

void trace_round::existed(const traced_operation &operation)
{
    const bool two =
        operation.kind == path_operation::link || operation.kind == path_operation::rename;

    if (two)
        need(operation.at, false, 0);
    need(two ? operation.to : operation.at, false, 0);
}

/// What the walk came through on the way to the missing name were directories.
void trace_round::was_not_found(const traced_operation &operation)
{
    for (;;) {
        const plain_walk walked = walk(operation.at, operation.follow, false);
        if (walked.result != plain_result::unknown || !walked.node)
            return;
        walked.node->type = S_IFDIR;
    }
}

void trace_round::was_no_directory(const traced_operation &operation)
{
    traced_path path = operation.at;
    const bool must_be_one = operation.kind == path_operation::rmdir ||
                             operation.kind == path_operation::chdir ||
                             operation.flags & O_DIRECTORY || path.name.ends_with('/');

    if (walk(path, true, false).result == plain_result::not_directory)
        return;
    while (path.name.ends_with('/'))
        path.name.pop_back();
    if (!must_be_one)
        path.name.resize(path.name.rfind('/') == std::string::npos ? 0 : path.name.rfind('/'));
    if (path.name.empty())
        return;
    if (plain_node *node = need(path, true, S_IFREG); node && node->type == 0)
        node->type = S_IFREG;
}

void trace_round::was_not_empty(const traced_operation &operation)
{
    const traced_path &path =
        operation.kind == path_operation::rename ? operation.to : operation.at;
    plain_node *node = need(path, false, S_IFDIR);

    if (!node || !node->first || node->type != S_IFDIR)
        return;
    for (const auto &[name, child] : node->children)
        if (child)
            return;
    if (!node->children.contains(unseen_child))
        tree_.add_first(node, unseen_child, S_IFREG);
}

void trace_round::led_in_a_circle(const traced_operation &operation)
{
    const plain_walk walked = walk(operation.at, false, true);
    plain_node *node = walked.node;

    if (walked.result == plain_result::unknown && walked.last)
        node = tree_.add_first(walked.parent, walked.name, S_IFLNK);
    if (!node || !node->first || !node->body.empty())
        return;
    // A link, where none may be; else one that leads to itself.
    learn_link(node->first_path,
               operation.follow ? node->first_path : unseen_targets + node->first_path, false);
}

void trace_round::refused(const traced_operation &operation)
{
    using enum path_operation;
    const plain_walk walked = walk(operation.at, operation.follow, true);

    if (walked.result == plain_result::found && operation.mode & X_OK && operation.kind == access &&
        walked.node->type != S_IFDIR) {
        walked.node->not_executable = true;
        return;
    }
    if (!knowledge_.as_user)
        return;
    if (walked.result == plain_result::found && operation.error == EPERM) {
        walked.node->refused = true;
        if (walked.parent)
            walked.parent->refused = true;
        return;
    }
    const bool creates = operation.kind == mkdir || operation.kind == mknod ||
                         operation.kind == symlink || operation.kind == unlink ||
                         operation.kind == rmdir || operation.kind == rename ||
                         (operation.kind == open && operation.flags & O_CREAT);
    if (creates && walked.parent && walked.result != plain_result::found) {
        walked.parent->refused = true;
        return;
    }
    if (operation.kind == unlink || operation.kind == rmdir || operation.kind == rename) {
        if (walked.parent)
            walked.parent->refused = true;
        return;
    }
    if (operation.kind != open && operation.kind != access && operation.kind != chdir)
        return refused_to_search(walked);
    plain_node *node = walked.node;
    if (walked.result == plain_result::unknown && walked.last) {
        bool searched = false;
        for (const auto &[name, child] : walked.parent->children)
            searched |= child != nullptr;
        if (!searched)
            return refused_to_search(walked);
        node = tree_.add_first(walked.parent, walked.name, 0);
    }
    if (!node)
        return;
    node->refused = true;
    node->unreadable |= operation.kind == chdir ||
                        (operation.kind == access && operation.mode & R_OK) ||
                        (operation.kind == open && !writes(operation));
}

void trace_round::refused_to_search(const plain_walk &walked)
{
    if (!walked.parent)
        return;
    walked.parent->refused = true;
    walked.parent->unreadable = true;
}

} // namespace dcsim::cli
