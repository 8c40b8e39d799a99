#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The programs whose system calls are in project.strace.xz: version control, a build, copies,
# archives, scripts. record.sh runs it under strace.
set -e
cd "$HOME"
mkdir -p project/src project/include/shapes project/tests project/tools
cd project
cat > CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.20)
project(shapes CXX)
enable_testing()
add_library(shapes src/circle.cpp src/square.cpp)
target_include_directories(shapes PUBLIC include)
add_executable(area tools/area.cpp)
target_link_libraries(area shapes)
add_executable(shapes_test tests/shapes_test.cpp)
target_link_libraries(shapes_test shapes)
add_test(NAME shapes COMMAND shapes_test)
install(TARGETS shapes area)
install(DIRECTORY include/ DESTINATION include)
END
for shape in circle square; do
    printf '#pragma once\n#include <vector>\ndouble %s(double size);\n' $shape \
        > include/shapes/$shape.hpp
    printf '#include "shapes/%s.hpp"\ndouble %s(double size) { return size * size; }\n' \
        $shape $shape > src/$shape.cpp
done
printf '#include <cstdio>\n#include "shapes/circle.hpp"\n#include "shapes/square.hpp"\n' \
    > tools/area.cpp
printf '%s\n' 'int main() { printf("%f %f\n", circle(2), square(2)); }' >> tools/area.cpp
printf '#include "shapes/square.hpp"\nint main() { return square(2) != 4; }\n' \
    > tests/shapes_test.cpp
echo build > .gitignore

git init -q .
git config user.name 'A User'
git config user.email user@example.org
git add .
git commit -q -m 'Shapes'
git checkout -q -b rename
git mv include/shapes/circle.hpp include/shapes/round.hpp
sed -i 's,shapes/circle,shapes/round,' src/circle.cpp tools/area.cpp
git commit -q -a -m 'Round is the word'
git checkout -q master
echo '# Shapes' > README.md
git add README.md
git commit -q -m 'A word about it'
git merge -q -m 'Both' rename
git status --short
git log --oneline --stat > ../log.txt
git tag v1
git gc -q
git worktree add -q ../old HEAD~1
git worktree remove ../old

cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$HOME/installed" \
    > ../cmake.txt
cmake --build build > ../build.txt
(cd build && ctest -Q)
cmake --install build > ../install.txt

cd "$HOME"
find project -name '*.?pp' | sort > sources.txt
ln -s project here
ln -s loop loop
cat loop 2> errors.txt || :
cat here/README.md/ 2>> errors.txt || :
ls here/../project/. no/such/place 2>> errors.txt > list.txt || :
touch /etc/mine /usr/share/mine 2>> errors.txt || :
mkdir /root/mine /usr/mine 2>> errors.txt || :
cp -a project copy
mv copy/src copy/sources
ln copy/README.md copy/README
ln -s ../sources/circle.cpp copy/include/circle
cat copy/include/circle > circle.txt
tar -cf copy.tar copy
mkdir unpacked
tar -C unpacked -xf copy.tar
chmod -R go-w unpacked
rm -rf copy
diff -r project/src unpacked/copy/sources
perl -MFile::Find -MCwd -e \
    'find(sub { -l $_ and print Cwd::abs_path($_), "\n" }, ".")' > links.txt
python3 - <<'END' > python.txt
import json, os, pathlib, shutil, tempfile
with tempfile.TemporaryDirectory(dir=".") as name:
    top = pathlib.Path(name)
    for number in range(40):
        folder = top / f"d{number % 8}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}").write_text(json.dumps(number))
    os.rename(top / "d0", top / "d1" / "inside")
    os.chdir(top / "d1" / "inside")
    os.rename("f8", "../f8")
    os.chdir("../../..")
    print(sum(1 for _ in top.rglob("*")))
    for number in range(3):
        (top / "d2" / f"link{number}").symlink_to(f"../d3/f{number * 8 + 3}")
    print([link.exists() for link in (top / "d2").glob("link*")])
    shutil.rmtree(top / "d3")
    print([link.exists() for link in (top / "d2").glob("link*")])
END
rm -rf unpacked installed project/build
